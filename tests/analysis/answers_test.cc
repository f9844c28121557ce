// Kinds of tokens, steps and policy changes, on the tokenizer of the tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "analysis/analysis_page.h"
#include "analysis/answer_steps.h"
#include "analysis/policy_changes.h"
#include "analysis/token_kind.h"
#include "sampling/policy.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

const Tokenizer& TestTokenizer() {
  static const Tokenizer kTokenizer =
      Tokenizer::Load(std::string(FOURSTEP_SOURCE_DIR) + "/tests/model/data/tiny-qwen3");
  return kTokenizer;
}

// The kinds of the tokens that hold `text` in the encoding of `answer`.
std::vector<TokenKind> KindsAt(const std::string& prompt, const std::string& answer,
                               const std::string& text) {
  const std::vector<int32_t> ids = TestTokenizer().Encode(answer);
  const std::vector<TokenKind> kinds = TokenKinds(TestTokenizer(), TestTokenizer().Encode(prompt), ids);
  const size_t begin = answer.find(text), end = begin + text.size();
  std::vector<TokenKind> found;
  size_t offset = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const size_t next = offset + TestTokenizer().TokenBytes(ids[i]).size();
    if (next > begin && offset < end) found.push_back(kinds[i]);
    offset = next;
  }
  return found;
}

TEST(TokenKinds, TellCopiedNumbersFromNewOnes) {
  const std::string prompt = "Use 17 and 23", answer = "17*23=391 and 391-7";
  EXPECT_THAT(KindsAt(prompt, answer, "17"), testing::Each(TokenKind::kCopiedNumber));
  EXPECT_THAT(KindsAt(prompt, answer, "23"), testing::Each(TokenKind::kCopiedNumber));
  EXPECT_THAT(KindsAt(prompt, answer, "391 "), testing::Contains(TokenKind::kNewNumber));
  EXPECT_THAT(KindsAt(prompt, answer, "391-"), testing::Contains(TokenKind::kCopiedNumber));
  EXPECT_THAT(KindsAt(prompt, answer, "7-x").size(), 0u);
  EXPECT_THAT(KindsAt(prompt, answer, "-7"), testing::Contains(TokenKind::kNewNumber));  // 7 is not 17
  EXPECT_THAT(KindsAt(prompt, answer, "*"), testing::ElementsAre(TokenKind::kOperator));
  EXPECT_THAT(KindsAt(prompt, answer, "and"), testing::Each(TokenKind::kWord));
  EXPECT_THAT(KindsAt("", "a\n\nb", "\n"), testing::Each(TokenKind::kBreak));
}

TracedAnswer Answer(const std::string& text, float entropy, float temperature, bool is_right) {
  TracedAnswer answer{.problem = "p",
                      .sample = 0,
                      .is_right = is_right,
                      .prompt = {},
                      .tokens = {},
                      .entropies = {},
                      .temperatures = {}};
  answer.tokens = TestTokenizer().Encode(text);
  answer.entropies.assign(answer.tokens.size(), entropy);
  answer.temperatures.assign(answer.tokens.size(), temperature);
  return answer;
}

TEST(AnswerSteps, AreThoseOfThePolicy) {
  const TracedAnswer answer = Answer("one two\n\nthree\n\nfour", 0.5f, 1, true);
  const std::vector<int32_t> steps = StepsOf(TestTokenizer(), answer.tokens);
  EXPECT_EQ(steps.front(), 0);
  EXPECT_EQ(steps.back(), 2);
  EXPECT_TRUE(std::is_sorted(steps.begin(), steps.end()));
  for (size_t i = 1; i < steps.size(); ++i) {
    const bool ends = TestTokenizer().TokenBytes(answer.tokens[i - 1]).find("\n\n") != std::string_view::npos;
    if (ends) {
      EXPECT_EQ(steps[i], steps[i - 1] + 1) << i;
    }
  }
  EXPECT_EQ(StepEntropies(steps, answer.entropies), (std::vector<double>{0.5, 0.5, 0.5}));
}

TEST(AnswerSteps, RepeatedOnesAreCounted) {
  const std::vector<TracedAnswer> answers = {Answer("try a\n\ntry b\n\ntry a\n\ntry a", 0, 1, true),
                                             Answer("try b\n\ntry c", 0, 1, true)};
  EXPECT_DOUBLE_EQ(RepeatedSteps(TestTokenizer(), answers), 2.0 / 6);
}

// Where all entropies are equal every estimate is right; where a step differs from the last one, what looks
// at the step alone errs less than a window over both.
TEST(AnswerSteps, EstimatorsErrAsTheyMust) {
  std::vector<TracedAnswer> answers = {Answer("one two three\n\nfour five six seven", 0.5f, 1, true)};
  for (const EstimatorError& error : EstimatorErrors(TestTokenizer(), answers, 32)) {
    EXPECT_NEAR(error.error.mean, 0, 1e-6);
  }
  const std::vector<int32_t> steps = StepsOf(TestTokenizer(), answers[0].tokens);
  for (size_t i = 0; i < steps.size(); ++i) answers[0].entropies[i] = steps[i] == 0 ? 0.0f : 1.0f;
  const std::vector<EstimatorError> errors = EstimatorErrors(TestTokenizer(), answers, 32);
  ASSERT_EQ(errors.size(), 4u);
  EXPECT_EQ(errors[1].estimator, StepEstimator::kCausalMean);
  EXPECT_LT(errors[1].error.mean, errors[0].error.mean);
}

TEST(PolicyChanges, FollowTheFirstDifference) {
  std::vector<TracedAnswer> fixed = {Answer("a b c", 1, 0.6f, false), Answer("a b c", 1, 0.6f, true),
                                     Answer("a b c", 1, 0.6f, true)};
  std::vector<TracedAnswer> policy = {Answer("a d c", 1, 1.0f, true), Answer("e b c", 1, 0.3f, false),
                                      fixed[2]};
  const PolicyChanges changes = ChangesOf(TestTokenizer(), fixed, policy);
  EXPECT_EQ(changes.num_pairs, 3);
  EXPECT_EQ(changes.num_equal, 1);
  EXPECT_EQ(changes.at_raised.num_parted, 1);
  EXPECT_EQ(changes.at_raised.num_mended, 1);
  EXPECT_EQ(changes.at_lowered.num_parted, 1);
  EXPECT_EQ(changes.at_lowered.num_broken, 1);
  ASSERT_FALSE(changes.by_kind.empty());
  for (const TemperatureShares& row : changes.by_kind) {  // one answer in three is raised, one lowered
    EXPECT_NEAR(row.raised, 1.0 / 3, 1e-9) << row.name;
    EXPECT_NEAR(row.lowered, 1.0 / 3, 1e-9) << row.name;
  }
  EXPECT_THAT(PolicyChangesText(changes), HasSubstr("1 of 3 answers are the same"));
}

TEST(HtmlText, CannotLeaveItsPlace) {
  EXPECT_EQ(HtmlText("<script>\"a\" & 'b'\x1b</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; 'b' &lt;/script&gt;");
}

TEST(Charts, ScriptsQuoteWhatTheyAreGiven) {
  const Chart chart{.file = "f",
                    .title = "it's\n`id`",
                    .x_label = "x",
                    .y_label = "y",
                    .categories = {"a", "b"},
                    .bars = {{.name = "bars", .bars = {{1, 0.5, 1.5}, {2, 2, 2}}}}};
  const std::string script = GnuplotScript(chart);
  EXPECT_THAT(script, HasSubstr("set title 'it''s`id`'"));
  EXPECT_THAT(script, HasSubstr("set output 'f.svg'"));
  EXPECT_THAT(script, HasSubstr("0.0000 1 0.5 1.5\n"));
}

}  // namespace
}  // namespace fourstep
