#include "eval/answer.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/philox.h"

namespace fourstep {
namespace {

TEST(LastBoxed, FindsTheInsideOfTheLastCompleteBox) {
  const std::pair<const char*, const char*> kCases[] = {
      {"\\boxed{5}", "5"},
      {"so \\boxed{5}. No, \\boxed{6}.", "6"},
      {"\\boxed{}", ""},
      {"\\boxed{ 5 }", " 5 "},
      {"\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"},
      {"{\\boxed{{{5}}}}", "{{5}}"},
      {"\\boxed{5}}}}", "5"},
      {"}}}\\boxed{5}", "5"},
      {"\\boxed{5} but \\boxed{6", "5"},
      {"\\boxed{\\boxed{5}}", "5"},
      {"\\boxed{oops \\boxed{5}", "5"},
      {"\\boxed{oops {{ \\boxed{5} {{{", "5"},
      {"\\boxed{4} \\boxed{oops", "4"},
      {"\\boxed{\\boxed{5} 6", "5"},
      {"\\boxed\\boxed{5}", "5"},
      {"\\\\boxed{5}", "5"},
      {"\\boxed{5\n}", "5\n"},
      {"\\boxed{4}\\boxed{5}", "5"},
  };
  for (const auto& [reply, inside] : kCases) EXPECT_EQ(LastBoxed(reply), inside) << reply;
}

TEST(LastBoxed, FindsNothingWhereNoBoxIsComplete) {
  for (const char* reply :
       {"", "5", "boxed{5}", "\\boxed{5", "\\boxed 5", "\\boxed", "\\boxed{", "\\boxed {5}", "\\Boxed{5}",
        "\\boxed(5)", "\\boxed}5{", "\\boxed{{5}", "\\fbox{5}"}) {
    EXPECT_EQ(LastBoxed(reply), std::nullopt) << reply;
  }
}

TEST(LastBoxed, LooksOnlyAfterTheReasoning) {
  EXPECT_EQ(LastBoxed("<think>\\boxed{4}</think>\\boxed{5}"), "5");
  EXPECT_EQ(LastBoxed("<think>\\boxed{4}</think>five"), std::nullopt);
  EXPECT_EQ(LastBoxed("<think>\\boxed{4}"), "4");
  EXPECT_EQ(LastBoxed("\\boxed{3}</think>\\boxed{4}</think>"), std::nullopt);
  EXPECT_EQ(LastBoxed("</think>\\boxed{3}</think>\\boxed{4}"), "4");
  EXPECT_EQ(LastBoxed("<think>\\boxed{4</think>}"), std::nullopt);
  EXPECT_EQ(LastBoxed("\\boxed{4}</think"), "4");
}

// The definition, at leisure: of all boxes whose brace is matched, the one that begins last.
std::optional<std::string> SlowLastBoxed(const std::string& reply) {
  std::optional<std::string> found;
  for (size_t at = reply.find("\\boxed{"); at != reply.npos; at = reply.find("\\boxed{", at + 1)) {
    int depth = 0;
    for (size_t end = at + 6; end < reply.size(); ++end) {
      depth += reply[end] == '{' ? 1 : reply[end] == '}' ? -1 : 0;
      if (depth == 0) {
        found = reply.substr(at + 7, end - at - 7);
        break;
      }
    }
  }
  return found;
}

TEST(LastBoxed, AgreesWithItsDefinitionOnRandomTexts) {
  constexpr std::string_view kPieces[] = {"\\boxed{", "{", "}", "}", "5", "\\boxed", " "};
  int num_found = 0;
  for (uint64_t i = 0; i < 20'000; ++i) {
    PhiloxStream random(3, i);
    std::string reply;
    for (uint32_t n = random.Below(16); n > 0; --n) reply += kPieces[random.Below(std::size(kPieces))];
    EXPECT_EQ(LastBoxed(reply), SlowLastBoxed(reply)) << reply;
    num_found += LastBoxed(reply).has_value();
  }
  EXPECT_GT(num_found, 2000);
  EXPECT_LT(num_found, 18'000);
}

TEST(LastBoxed, TakesLinearTime) {
  const size_t kBytes = 10'000'000;
  std::string boxes, think;
  while (boxes.size() < kBytes) boxes += "\\boxed{";
  while (think.size() < kBytes) think += "</think>";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(LastBoxed(boxes), std::nullopt);
  EXPECT_EQ(LastBoxed(boxes + "5}"), "5");
  EXPECT_EQ(LastBoxed(boxes + std::string(kBytes, '}')), "");
  EXPECT_EQ(LastBoxed(std::string(kBytes, '{')), std::nullopt);
  EXPECT_EQ(LastBoxed(std::string(kBytes, '}')), std::nullopt);
  EXPECT_EQ(LastBoxed(think), std::nullopt);
  EXPECT_EQ(LastBoxed("\\boxed{" + std::string(kBytes, 'x') + "}"), std::string(kBytes, 'x'));
  EXPECT_LT(std::chrono::steady_clock::now() - begin,
            std::chrono::seconds(10));  // quadratic would take hours
}

TEST(ParseInteger, ReadsDecimalIntegers) {
  const std::pair<const char*, int64_t> kCases[] = {{"0", 0},
                                                    {"-0", 0},
                                                    {"+5", 5},
                                                    {" 5", 5},
                                                    {"5\t", 5},
                                                    {"007", 7},
                                                    {"-5", -5},
                                                    {"−5", -5},
                                                    {"\n-5 ", -5},
                                                    {"9223372036854775807", INT64_MAX},
                                                    {"-9223372036854775808", INT64_MIN},
                                                    {"0000000000000000000000000005", 5}};
  for (const auto& [text, value] : kCases) EXPECT_EQ(ParseInteger(text), value) << text;
}

TEST(ParseInteger, RefusesEverythingElse) {
  for (const char* text : {"",
                           " ",
                           "+",
                           "-",
                           "−",
                           "+-5",
                           "-+5",
                           "--5",
                           "++5",
                           "- 5",
                           "+ 5",
                           "5 6",
                           "5.0",
                           "5.",
                           "1e3",
                           "0x10",
                           "5a",
                           "a5",
                           "1,000",
                           "9223372036854775808",
                           "-9223372036854775809",
                           "18446744073709551616",
                           "99999999999999999999999999",
                           "٥",
                           "½",
                           "−−5",
                           "\xe2\x88",
                           "{5}",
                           "\\boxed{5}",
                           "$5$",
                           "inf",
                           "nan",
                           "\xff"}) {
    EXPECT_EQ(ParseInteger(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseInteger(std::string("5\0", 2)), std::nullopt);
  EXPECT_EQ(ParseInteger(std::string(1'000'000, '9')), std::nullopt);
}

TEST(TrimBlanks, TakesAwayBlanksOfBothEnds) {
  EXPECT_EQ(TrimBlanks(""), "");
  EXPECT_EQ(TrimBlanks(" \t\r\n"), "");
  EXPECT_EQ(TrimBlanks(" a b\r\n"), "a b");
}

}  // namespace
}  // namespace fourstep
