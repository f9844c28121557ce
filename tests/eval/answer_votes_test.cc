#include "eval/answer_votes.h"

#include <gtest/gtest.h>

#include "base/philox.h"

namespace fourstep {
namespace {

Verdict Right() {
  return {.correct = true, .extracted = "7"};
}
Verdict Wrong(const std::string& answer) {
  return {.correct = false, .extracted = answer};
}

TEST(AnswerVotes, PassAtKCountsTheDraws) {
  EXPECT_EQ(PassAtK(4, 0, 4), 0);
  EXPECT_EQ(PassAtK(4, 1, 4), 1);
  EXPECT_DOUBLE_EQ(PassAtK(8, 3, 1), 3.0 / 8);
  EXPECT_DOUBLE_EQ(PassAtK(4, 2, 2), 5.0 / 6);  // one of the six pairs holds no right answer
}

// The mean over many studies is the chance that one of k fresh answers is right.
TEST(AnswerVotes, PassAtKHasNoBias) {
  PhiloxStream random(1);
  double sum = 0;
  constexpr int kStudies = 20'000;
  for (int study = 0; study < kStudies; ++study) {
    int64_t right = 0;
    for (int i = 0; i < 6; ++i) right += random.Chance(0.3) ? 1 : 0;
    sum += PassAtK(6, right, 3);
  }
  EXPECT_NEAR(sum / kStudies, 1 - 0.7 * 0.7 * 0.7, 0.01);
}

TEST(AnswerVotes, TheMostGivenAnswerWins) {
  const std::vector<Verdict> two_of_three = {Right(), Wrong("8"), Right()};
  EXPECT_EQ(MajorityAtK(two_of_three, 3), 1);
  const std::vector<Verdict> outvoted = {Right(), Wrong("8"), Wrong(" 8"), {}};
  EXPECT_EQ(MajorityAtK(outvoted, 4), 0);
  const std::vector<Verdict> scattered = {Right(), Wrong("8"), Wrong("9"), Right()};
  EXPECT_EQ(MajorityAtK(scattered, 4), 1);
  EXPECT_DOUBLE_EQ(MajorityAtK(scattered, 3), 1.0 / 3);  // three answers tie; one vote of three
  EXPECT_DOUBLE_EQ(MajorityAtK(scattered, 1), 0.5);
}

TEST(AnswerVotes, RepliesWithoutAnAnswerDoNotVote) {
  const std::vector<Verdict> mostly_silent = {{}, {}, {}, Right()};
  EXPECT_EQ(MajorityAtK(mostly_silent, 4), 1);
  const std::vector<Verdict> silent = {{}, {}};
  EXPECT_EQ(MajorityAtK(silent, 2), 0);
}

TEST(AnswerVotes, SizesAreThePowersOfTwoAndAll) {
  EXPECT_EQ(VoteSizes(1), (std::vector<int64_t>{1}));
  EXPECT_EQ(VoteSizes(4), (std::vector<int64_t>{1, 2, 4}));
  EXPECT_EQ(VoteSizes(6), (std::vector<int64_t>{1, 2, 4, 6}));
}

}  // namespace
}  // namespace fourstep
