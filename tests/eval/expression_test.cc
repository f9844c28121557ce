#include "eval/expression.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/philox.h"
#include "eval/oracle.h"

namespace fourstep {
namespace {

using testing::ElementsAre;

constexpr int64_t kLimit = int64_t{1} << 31;

TEST(ParseExpression, EvaluatesExactly) {
  const std::tuple<const char*, int64_t, int64_t> kCases[] = {
      {"7", 7, 1},       {"007", 7, 1},          {"1+2*3", 7, 1},     {"(1+2)*3", 9, 1}, {"8-3-2", 3, 1},
      {"8-(3-2)", 7, 1}, {"24/4/2", 3, 1},       {"24/(4/2)", 12, 1}, {"2/4", 1, 2},     {"1/3+1/6", 1, 2},
      {"1-2", -1, 1},    {"(1-3)/(4-10)", 1, 3}, {"1/(2-4)", -1, 2},  {"0/5", 0, 1},     {"6/(1-3/4)", 24, 1},
      {"3*(4-4)", 0, 1}, {"((((5))))", 5, 1},
  };
  for (const auto& [text, numerator, denominator] : kCases) {
    const auto parsed = ParseExpression(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->value, (Fraction{numerator, denominator})) << text;
  }
}

TEST(ParseExpression, TakesEverySpelling) {
  for (const char* text :
       {" ( 6 + 2 ) * 4 / 1 - 2 ", "(6+2)\\times4\\div1-2", "(6+2)\\times 4 \\div 1 - 2", "(6+2)\\cdot 4/1-2",
        "(6+2)×4÷1−2", "(6+2)·4/1-2", "\t(6\n+2)*4/1-2", "(06+2)*0004/1-2"}) {
    const auto parsed = ParseExpression(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->value, (Fraction{30, 1})) << text;
    EXPECT_THAT(parsed->numbers, ElementsAre(6, 2, 4, 1, 2)) << text;
  }
}

TEST(ParseExpression, RefusesWhatIsNoExpression) {
  for (const char* text :
       {"",     " ",     "+",        "1+",        "+1",   "-1",      "−1",        "1++2",
        "1+-2", "1**2",  "1//2",     "1 2",       "()",   "(",       ")",         "(1",
        "1)",   "(1))",  "((1)",     "1+()",      "2(3)", "(2)(3)",  "2x",        "x",
        "1.5",  "1,5",   "1=1",      "1+1=2",     "1^2",  "2\\frac", "\\time",    "1\\times",
        "5!",   "5%3",   "[1]",      "{1}",       "0x10", "1e3",     "$1$",       "1\\,2",
        "nan",  "1\xff", "\xe2\x88", "1\xe2\x88", "٣",    "1+2;",    "1\\cdots2", "\\left(1\\right)"}) {
    EXPECT_FALSE(ParseExpression(text)) << text;
  }
  EXPECT_FALSE(ParseExpression(std::string_view("1\0", 2)));
  EXPECT_FALSE(ParseExpression(std::string_view("\0001", 2)));
}

TEST(ParseExpression, RefusesDivisionByZero) {
  for (const char* text : {"1/0", "0/0", "1/(2-2)", "1/(1/2-1/2)", "5*3/0", "(1/0)*0", "1-1/(3-3)"}) {
    EXPECT_FALSE(ParseExpression(text)) << text;
  }
  EXPECT_TRUE(ParseExpression("0/(1/2)"));
}

TEST(ParseExpression, RefusesWhatLeavesItsLimit) {
  EXPECT_TRUE(ParseExpression(fmt::format("{}", kLimit - 1)));
  EXPECT_FALSE(ParseExpression(fmt::format("{}", kLimit)));
  EXPECT_FALSE(ParseExpression(std::string(1000, '9')));
  EXPECT_TRUE(ParseExpression("46340*46340"));
  EXPECT_FALSE(ParseExpression("46341*46341"));
  EXPECT_FALSE(ParseExpression("2147483647+1"));
  EXPECT_TRUE(ParseExpression("2147483647-1+1"));
  EXPECT_FALSE(ParseExpression("2147483647+1-1"));
  EXPECT_TRUE(ParseExpression("0-2147483647"));
  EXPECT_FALSE(ParseExpression("0-2147483647-1"));
  // The widest products and sums of what is within the limit must not wrap around.
  EXPECT_FALSE(ParseExpression("2147483647*2147483647"));
  EXPECT_FALSE(ParseExpression("(0-2147483647)*2147483647"));
  EXPECT_FALSE(ParseExpression("2147483647/2147483646+2147483647/2147483645"));
  EXPECT_FALSE(ParseExpression("0-2147483647/2147483646-2147483647/2147483645"));
  EXPECT_FALSE(ParseExpression("1/2147483647/2147483647"));
  EXPECT_EQ(ParseExpression("2147483647/2147483647")->value, (Fraction{1, 1}));
  EXPECT_EQ(ParseExpression("1/3-1/3")->value, (Fraction{0, 1}));
}

TEST(ParseExpression, LimitsDepth) {
  const auto Nested = [](size_t depth) {
    return ParseExpression(std::string(depth, '(') + "1" + std::string(depth, ')')).has_value();
  };
  EXPECT_TRUE(Nested(64));
  EXPECT_FALSE(Nested(65));
  EXPECT_FALSE(Nested(10'000'000));
  EXPECT_FALSE(ParseExpression(std::string(10'000'000, '(')));
  std::string side_by_side = "(1)";
  for (int i = 0; i < 1000; ++i) side_by_side += "+(1)";  // wide, not deep
  EXPECT_TRUE(ParseExpression(side_by_side));
}

TEST(ParseExpression, ReadsLongExpressionsInLinearTime) {
  std::string sum = "1";
  for (int i = 1; i < 1'000'000; ++i) sum += "+1";
  const auto parsed = ParseExpression(sum);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->value, (Fraction{1'000'000, 1}));
  EXPECT_EQ(parsed->numbers.size(), 1'000'000u);
}

std::string RandomExpression(int depth, PhiloxStream& random) {
  if (depth == 0 || random.Chance(0.2)) return std::to_string(random.Between(0, 30));
  const std::string text =
      RandomExpression(depth - 1, random) + "+-*/"[random.Below(4)] + RandomExpression(depth - 1, random);
  return random.Chance(0.6) ? "(" + text + ")" : text;
}

TEST(ParseExpression, AgreesWithAnIndependentEvaluator) {
  int num_values = 0;
  for (uint64_t i = 0; i < 20'000; ++i) {
    PhiloxStream random(11, i);
    const std::string text = RandomExpression(3, random);
    const auto expected = oracle::Evaluate(text);
    const auto parsed = ParseExpression(text);
    if (!expected) {
      EXPECT_FALSE(parsed) << text;
    }
    if (!expected || !parsed) continue;  // the parser's limit: what it refuses is tested above
    ++num_values;
    EXPECT_EQ(expected->value, (oracle::Ratio{parsed->value.numerator, parsed->value.denominator})) << text;
    EXPECT_EQ(expected->numbers, parsed->numbers) << text;
  }
  EXPECT_GT(num_values, 15'000);
}

TEST(IntegersIn, FindsEveryRunOfDigits) {
  EXPECT_THAT(IntegersIn("Use 3,14 and 015; make 9."), ElementsAre(3, 14, 15, 9));
  EXPECT_THAT(IntegersIn(""), ElementsAre());
  EXPECT_THAT(IntegersIn("none"), ElementsAre());
  EXPECT_THAT(IntegersIn("-5"), ElementsAre(5));
  EXPECT_THAT(IntegersIn("1 9223372036854775807 9223372036854775808 2"), ElementsAre(1, INT64_MAX, 2));
  EXPECT_THAT(IntegersIn(std::string(1'000'000, '7') + "a8"), ElementsAre(8));
  EXPECT_THAT(IntegersIn("\xff"
                         "4\xff"),
              ElementsAre(4));
}

}  // namespace
}  // namespace fourstep
