#include "eval/code_tests.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace fourstep {
namespace {

TEST(SameOutput, ForgivesBlanksAndSpellingsOfNumbers) {
  constexpr std::pair<const char*, const char*> kSame[] = {
      {"1\n2\n", "1\n2"},
      {"1 2", "1 2  \n\n"},
      {"  1\n 2", "1\n2"},
      {"0.50", "0.5"},
      {"1.0 2", "1 2.00"},
      {"-0.0", "0"},
      {"1e3", "1000"},
      {"1.25e-1", ".125"},
      {"YES\nNO", "YES\r\nNO"},
      {"3", "+3"},
      {"007", "7"},
      {"", "\n"},
      {"1   2", "1 2"},
      {"123456789012345678901234567890", "123456789012345678901234567890.0"},
  };
  for (const auto& [wanted, given] : kSame) {
    EXPECT_TRUE(SameOutput(wanted, given)) << wanted << " | " << given;
    EXPECT_TRUE(SameOutput(given, wanted)) << wanted << " | " << given;
  }
}

TEST(SameOutput, TellsOthersApart) {
  constexpr std::pair<const char*, const char*> kDifferent[] = {
      {"1", "2"},
      {"1\n2", "1 2"},
      {"1\n2", "1"},
      {"YES", "Yes"},
      {"1 2", "12"},
      {"", "0"},
      {"0.5", "0.51"},
      {"a  b", "a b"},
      {"1\n\n2", "1\n2"},
      {"1e3", "1e4"},
      {"-1", "1"},
      {"1.2.3", "1.23"},
      {"1 x", "1.0 x"},
      {"1000000000000000000001", "1000000000000000000002"},
      {"0x10", "16"},
      {"nan", "NaN"},
      {"1e99999999999", "1e99999999998"},
      {".", "0"},
      {"-", "0"},
      {"e5", "0"},
  };
  for (const auto& [wanted, given] : kDifferent) {
    EXPECT_FALSE(SameOutput(wanted, given)) << wanted << " | " << given;
    EXPECT_FALSE(SameOutput(given, wanted)) << wanted << " | " << given;
  }
}

TEST(ParseCodeTests, ReadsEveryForm) {
  const CodeTests tests = ParseCodeTests(
      R"({"function": "add", "tests": [{"input": "1\n2", "output": "3", "testtype": "functional"}],
          "packed": "[{\"input\": \"4\\n5\", \"output\": \"9\"}]"})",
      "t");
  EXPECT_EQ(tests.function, "add");
  ASSERT_EQ(tests.tests.size(), 2u);
  EXPECT_EQ(tests.tests[0].input, "1\n2");
  EXPECT_EQ(tests.tests[1].output, "9");
  EXPECT_EQ(ParseCodeTests(R"({"function": null, "tests": [{"input": "", "output": ""}]})", "t").function,
            "");
}

TEST(ParseCodeTests, RefusesOthers) {
  for (const char* text :
       {"", "7", "[]", "{}", R"({"tests": []})", R"({"tests": 7})", R"({"tests": [7]})",
        R"({"tests": [{"input": "1"}]})", R"({"tests": [{"input": 1, "output": "1"}]})", R"({"packed": "x"})",
        R"({"packed": "[1"})", R"({"packed": "[]"})", R"({"packed": 7})",
        R"({"function": 7, "tests": [{"input": "", "output": ""}]})"}) {
    EXPECT_THROW(ParseCodeTests(text, "t"), Error) << text;
  }
}

}  // namespace
}  // namespace fourstep
