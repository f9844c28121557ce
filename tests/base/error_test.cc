#include "base/error.h"

#include <gtest/gtest.h>

namespace fourstep {
namespace {

TEST(Error, NamesThePlaceFirst) {
  const Error error = Errorf("config.json", "hidden_size is {}, expected 1..{}", -3, 10);
  EXPECT_STREQ(error.what(), "config.json: hidden_size is -3, expected 1..10");
  EXPECT_EQ(error.where(), "config.json");
  EXPECT_STREQ(Error("", "no place").what(), "no place");
}

TEST(Printable, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(Printable("plain é"), "plain é");
  EXPECT_EQ(Printable("\x1b[31mred\n"), "\\x1b[31mred\\x0a");
  EXPECT_EQ(Printable("\xc2\x9b\xc2\xa0"), "\\xc2\\x9b\xc2\xa0");  // C1; a no-break space is none
  EXPECT_EQ(Printable("bad \xff\xc3"), "bad \\xff\\xc3");
  EXPECT_EQ(Printable(std::string(200, 'a'), 5), "aaaaa...");
}

}  // namespace
}  // namespace fourstep
