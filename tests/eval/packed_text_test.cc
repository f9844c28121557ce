// Against texts that Python packed: base64.b64encode(zlib.compress(pickle.dumps(text, protocol))).
#include "eval/packed_text.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace fourstep {
namespace {

std::string Unpack(const std::string& text, size_t max_bytes = 1000) {
  return UnpickleString(Inflate(DecodeBase64(text, "t"), max_bytes, "t"), "t");
}

TEST(PackedText, ReadsWhatPythonPacks) {
  const std::string text =
      "[{\"input\": \"3\\n1 2 3\", \"output\": \"6\", \"testtype\": \"stdin\"}, {\"input\": \"é\"}]";
  EXPECT_EQ(Unpack("eNqL8GFgYIiuVsrMKygtUbJSUDKOyTNUMFIwVtJRUMovLYGKmoG4JanFJSWVBakggeKSlMw8pVodBSSth1cq1cYWM"
                   "ugBANHPGII="),
            text);
  EXPECT_EQ(Unpack("eNprYIrwYWBgiK5WyswrKC1RslJQMo7JM1QwUjBW0lFQyi8tgYqagbglqcUlJZUFqSCB4pKUzDylWh0FJK2HVyrVx"
                   "hYy6AEA/XsZBA=="),
            text);
  EXPECT_EQ(Unpack("eNprYI7wYWBgiK5WyswrKC1RslJQMo7JM1QwUjBW0lFQyi8tgYqagbglqcUlJZUFqSCB4pKUzDylWh0FJK2HVyrVx"
                   "hYy6AEA/dAZBQ=="),
            text);
  EXPECT_EQ(Unpack("eNprYJkawAABPT7R1UqZeQWlJUpWCkrGMXmGCkYKxko6Ckr5pSVQUTMQtyS1uKSksiAVJFBckpKZp1Sro4Ck9fBKp"
                   "drYKXoARmEaQg=="),
            text);
  EXPECT_EQ(Unpack("eNprYJ0awAABPT7R1UqZeQWlJUpWCkrGMXmGCkYKxko6Ckr5pSVQUTMQtyS1uKSksiAVJFBckpKZp1Sro4Ck9fBKp"
                   "drYKXoARrsaQw=="),
            text);
}

// A million times "a".
constexpr const char* kMillionLetters =
    "eNrtwTENACAMALAd++cEDQsqeHGCCAQjhLYnV8+"
    "KDQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAfOuOB77icyg=";

TEST(PackedText, ReadsLongTexts) {
  EXPECT_EQ(Unpack(kMillionLetters, 1'100'000), std::string(1'000'000, 'a'));
}

TEST(PackedText, RefusesMoreThanIsAllowed) {
  EXPECT_THROW(Unpack(kMillionLetters, 900'000), Error);
}

TEST(PackedText, RefusesWhatIsNoPackedText) {
  const std::string whole =
      "eNprYJkawAABPT7R1UqZeQWlJUpWCkrGMXmGCkYKxko6Ckr5pSVQUTMQtyS1uKSksiAVJFBckpKZp1Sro4Ck9fBKpdrYKXoARmEaQg"
      "==";
  for (size_t length = 0; length < whole.size() - 2; ++length) {
    EXPECT_THROW(Unpack(whole.substr(0, length)), Error) << length;
  }
  EXPECT_THROW(Unpack("not base64!"), Error);
  // A pickle that calls a function when Python reads it; and a number, a list, two strings.
  for (const char* bytes : {"eNprYJkqzwABPawF+cWZFVN62Iori0tSc6dMntLDUlJUmjqldUrQFD0AA2gOlA==",
                            "eNprYPFm1wMAA7IBBQ==", "eNprYJnKwQABsVN6GBOnJOoBACKxBCQ=",
                            "eNprYJnKzQABPYyJU3oYk6a0TdEDADDyBXI=", "eNprYJnKygABzoyJU/QAFH8Chg=="})
    EXPECT_THROW(Unpack(bytes), Error) << bytes;
  using std::string_literals::operator""s;
  for (const std::string& pickle : {""s, "."s,
                                    "X\xff\xff\xff\x7f"
                                    "abc."s,
                                    "\x8d\xff\xff\xff\xff\xff\xff\xff\xff."s,
                                    "X\x01\0\0\0"
                                    "a"s,
                                    "X\x01\0\0\0"
                                    "a.b"s}) {
    EXPECT_THROW(UnpickleString(pickle, "t"), Error);
  }
  EXPECT_EQ(UnpickleString("X\x01\0\0\0"
                           "a."s,
                           "t"),
            "a");
}

}  // namespace
}  // namespace fourstep
