#include "eval/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "base/error.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

// One letter a problem: r is right, w is wrong, n has no answer. The first half are of one task, the rest of
// another.
Arm MakeArm(const std::string& name, const std::string& verdicts) {
  std::string lines;
  for (size_t i = 0; i < verdicts.size(); ++i) {
    const char* correct = verdicts[i] == 'r' ? "true" : verdicts[i] == 'w' ? "false" : "null";
    lines += R"({"id":"p)" + std::to_string(i) + R"(","correct":)" + correct +
             R"(,"extracted":null,"task":")" + (i < verdicts.size() / 2 ? "dag" : "ledger") + "\"}\n";
  }
  std::istringstream stream(lines);
  return ReadArm(name, stream, name);
}

TEST(Comparison, CountsByHand) {
  const std::vector<Arm> arms = {MakeArm("bf16", "rrrrwrrrrw"), MakeArm("nvfp4", "rrwwwrrwnr")};
  const Comparison c = CompareArms(arms);
  ASSERT_EQ(c.tasks.size(), 2u);
  EXPECT_EQ(c.tasks[0].task, "dag");
  EXPECT_EQ(c.tasks[1].num_problems, 5);
  EXPECT_DOUBLE_EQ(c.tasks[0].accuracies[1].mean, 0.4);
  EXPECT_DOUBLE_EQ(c.tasks[1].accuracies[1].mean, 0.6);
  EXPECT_EQ(c.all.num_problems, 10);
  EXPECT_DOUBLE_EQ(c.all.accuracies[0].mean, 0.8);
  const Estimate wilson = ProportionInterval(8, 10);
  EXPECT_DOUBLE_EQ(c.all.accuracies[0].low, wilson.low);
  ASSERT_EQ(c.pairs.size(), 1u);
  EXPECT_EQ(c.pairs[0].only_arm, 1);
  EXPECT_EQ(c.pairs[0].only_baseline, 4);
  EXPECT_NEAR(c.pairs[0].difference.mean, -0.3, 1e-12);
  EXPECT_NEAR(c.pairs[0].p_value, 2 * (1 + 5) / 32.0, 1e-12);  // P(at most 1 of 5), both sides
  EXPECT_DOUBLE_EQ(c.pairs[0].p_value_holm, c.pairs[0].p_value);
}

TEST(Comparison, ComparesAllPairsWhateverTheOrderOfLines) {
  std::vector<Arm> arms = {MakeArm("a", "rrww"), MakeArm("b", "rwrw"), MakeArm("c", "rrrr")};
  const Json before = ComparisonJson(CompareArms(arms));
  std::reverse(arms[1].answers.begin(), arms[1].answers.end());
  EXPECT_EQ(ComparisonJson(CompareArms(arms)), before);
  ASSERT_EQ(before["pairs"].size(), 3u);
  EXPECT_EQ(before["pairs"][2]["arm"], "c");
  EXPECT_EQ(before["pairs"][2]["baseline"], "b");
  EXPECT_EQ(before["pairs"][2]["only_arm"], 2);
  EXPECT_EQ(before["pairs"][2]["p_value_holm"], 1);
}

TEST(Comparison, WritesATable) {
  const std::string text =
      ComparisonText(CompareArms(std::vector{MakeArm("A", "rrww"), MakeArm("B", "rrrr")}));
  EXPECT_THAT(text, HasSubstr("dag                   2  100.0 [34.2, 100.0]"));
  EXPECT_THAT(text, HasSubstr("all                   4   50.0 [15.0, 85.0]"));
  EXPECT_THAT(text, HasSubstr("B - A"));
  EXPECT_THAT(text, HasSubstr("+50.0 [-26.3, +93.0]"));
  EXPECT_THAT(text, HasSubstr("2 : 0"));
}

TEST(Comparison, RefusesArmsThatCannotBePaired) {
  const Arm a = MakeArm("a", "rrww");
  EXPECT_THROW(CompareArms(std::vector{a}), Error);
  EXPECT_THROW(CompareArms(std::vector{a, a}), Error);
  EXPECT_THROW(CompareArms(std::vector{a, MakeArm("b", "rrwww")}), Error);
  EXPECT_THROW(CompareArms(std::vector{a, MakeArm("b", "rrw")}), Error);
}

TEST(ReadArm, NamesTheLineThatIsBad) {
  const std::string good = "{\"id\":1,\"correct\":null}\n";
  for (const char* bad : {"", "7", "{}", "{\"id\":2}", "{\"correct\":true}", "{\"id\":2,\"correct\":1}",
                          "{\"id\":2,\"correct\":\"true\"}", "{\"id\":1,\"correct\":true}",
                          "{\"id\":2,\"correct\":true,\"task\":7}"}) {
    std::istringstream stream(good + bad + "\n");
    try {
      ReadArm("x", stream, "file");
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith("file: line 2: ")) << bad;
    }
  }
  std::istringstream empty;
  EXPECT_THROW(ReadArm("x", empty, "file"), Error);
}

}  // namespace
}  // namespace fourstep
