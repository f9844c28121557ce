#include "base/utf8.h"

#include <gtest/gtest.h>

namespace fourstep {
namespace {

TEST(Utf8, EveryCodePointRoundTrips) {
  for (uint32_t value = 0; value < 0x110000; ++value) {
    std::string text;
    AppendUtf8(text, value);
    const bool surrogate = value >= 0xD800 && value < 0xE000;
    ASSERT_EQ(Utf8Length(text), surrogate ? 0 : text.size()) << value;
    if (surrogate) continue;
    ASSERT_EQ(DecodeUtf8(text).value, value);
    // Any proper prefix is incomplete, and the whole is not.
    for (size_t n = 1; n < text.size(); ++n) ASSERT_EQ(IncompleteUtf8Suffix(text.substr(0, n)), n) << value;
    ASSERT_EQ(IncompleteUtf8Suffix(text), 0u);
  }
}

TEST(Utf8, ReplacesMaximalInvalidParts) {
  EXPECT_EQ(ReplaceInvalidUtf8("a\xF0\x9F\x98z"), "a\uFFFDz");          // truncated: one
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\xAF"), "\uFFFD\uFFFD");            // overlong: two
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // surrogate: three
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(ReplaceInvalidUtf8("é"), "é");
}

}  // namespace
}  // namespace fourstep
