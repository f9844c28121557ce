#include "cli/terminal.h"

#include <gtest/gtest.h>

#include <string>

#include "base/philox.h"
#include "base/utf8.h"

namespace fourstep::cli {
namespace {

// What a terminal could take for a command: C0 but \n and \t, DEL, C1, and bytes that are no UTF-8 (a
// terminal in an 8-bit mode takes 0x9b for an escape sequence).
bool IsHarmless(std::string_view text) {
  while (!text.empty()) {
    const size_t length_bytes = Utf8Length(text);
    if (length_bytes == 0) return false;
    const uint32_t c = DecodeUtf8(text).value;
    if ((c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0)) return false;
    text.remove_prefix(length_bytes);
  }
  return true;
}

TEST(WithoutControls, KeepsOrEscapesEveryCodePoint) {
  for (uint32_t c = 0; c <= 0x10ffff; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;  // surrogates are no characters
    std::string text;
    AppendUtf8(text, c);
    const std::string out = WithoutControls(text);
    ASSERT_TRUE(IsHarmless(out)) << c;
    ASSERT_EQ(out == text, IsHarmless(text)) << c;
  }
}

TEST(WithoutControls, LeavesNothingOfRandomBytes) {
  PhiloxStream random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (int n = random.Between(0, 12); n > 0; --n) text += static_cast<char>(random.Below(256));
    const std::string out = WithoutControls(text);
    ASSERT_TRUE(IsHarmless(out));
    ASSERT_EQ(WithoutControls(out), out);
  }
}

TEST(WithoutControls, WritesEscapesThatPeopleKnow) {
  EXPECT_EQ(WithoutControls("a\x1b[31m\r\n\tb\x7f"), "a\\x1b[31m\\x0d\n\tb\\u007f");
  EXPECT_EQ(WithoutControls("\xc2\x9b"), "\\u009b");
  EXPECT_EQ(WithoutControls("\x9b\xff"), "\\x9b\\xff");
}

}  // namespace
}  // namespace fourstep::cli
