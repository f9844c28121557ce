#include "analysis/distribution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "analysis/divergence_table.h"
#include "base/philox.h"

namespace fourstep {
namespace {

TEST(Distribution, FactsOfTwoTokens) {
  const std::vector<float> logits = {0, std::log(3.0f)};  // 1/4 and 3/4
  const DistributionFacts facts = FactsOf(logits);
  EXPECT_EQ(facts.best, 1);
  EXPECT_NEAR(facts.best_mass, 0.75, 1e-7);
  EXPECT_NEAR(facts.entropy, -0.25 * std::log(0.25) - 0.75 * std::log(0.75), 1e-7);
  EXPECT_NEAR(MassBeside(logits, 1, 1), 0.25, 1e-7);
  EXPECT_NEAR(MassBeside(logits, 0, 1), 0.75, 1e-7);
  EXPECT_NEAR(MassBeside(logits, 1, 0.5), 0.1, 1e-7);  // 1 : 9
  EXPECT_EQ(MassBeside(std::vector<float>{0, 1000}, 0, 0.1), 1);
}

TEST(Distribution, DivergenceIsThatOfTheTextbook) {
  const std::vector<float> p = {0, std::log(3.0f)}, q = {0, 0};
  EXPECT_NEAR(KlDivergence(p, FactsOf(p), q, FactsOf(q)), 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-7);
  EXPECT_EQ(KlDivergence(p, FactsOf(p), p, FactsOf(p)), 0);
  const std::vector<float> shifted = {50, 50 + std::log(3.0f)};  // the same distribution
  EXPECT_NEAR(KlDivergence(p, FactsOf(p), shifted, FactsOf(shifted)), 0, 1e-6);
}

TokenComparison Token(int32_t text, double entropy, double kl, bool is_flip,
                      TokenKind kind = TokenKind::kWord) {
  TokenComparison token;
  token.text = text;
  token.reference_entropy = entropy;
  token.quantised_entropy = entropy / 2;
  token.kl = kl;
  token.is_flip = is_flip;
  token.kind = kind;
  return token;
}

TEST(DivergenceTable, GathersByEntropyAndKind) {
  std::vector<TokenComparison> tokens;
  for (int i = 0; i < 40; ++i) {
    tokens.push_back(
        Token(i % 4, i % 20, 0.1 * (i % 20), i % 20 == 19, i < 10 ? TokenKind::kOperator : TokenKind::kWord));
  }
  const std::vector<DivergenceRow> deciles = ByEntropyDecile(tokens);
  ASSERT_EQ(deciles.size(), 10u);
  EXPECT_EQ(deciles[0].num_tokens, 4);
  EXPECT_EQ(deciles[0].name, "0 to 1");
  EXPECT_NEAR(deciles[9].kl.mean, 0.1 * 18.5, 1e-9);
  EXPECT_NEAR(deciles[9].flips.mean, 0.5, 1e-9);
  EXPECT_NEAR(deciles[9].quantised_entropy, 18.5 / 2, 1e-9);
  const std::vector<DivergenceRow> kinds = ByTokenKind(tokens);
  ASSERT_EQ(kinds.size(), 2u);
  EXPECT_EQ(kinds[0].name, "operator");
  EXPECT_EQ(kinds[0].num_tokens, 10);
  EXPECT_EQ(OfAll(tokens).num_tokens, 40);
}

TEST(DivergenceTable, StepsAreUncertainWithinTheirAnswer) {
  const std::vector<TokenComparison> tokens = {Token(0, 1, 0, false), Token(0, 3, 1, false),
                                               Token(1, 10, 0, false), Token(1, 12, 1, false)};
  const std::vector<DivergenceRow> rows = ByStepCertainty(tokens, std::vector<int32_t>{0, 1, 0, 1});
  EXPECT_EQ(rows[0].num_tokens, 2);
  EXPECT_EQ(rows[0].kl.mean, 0);
  EXPECT_EQ(rows[1].kl.mean, 1);
}

// The interval of a mean over texts that differ in length and in level holds the truth as often as it says.
TEST(DivergenceTable, IntervalsCoverTheTruth) {
  PhiloxStream random(5);
  int covered = 0;
  constexpr int kStudies = 1000, kTexts = 60;
  for (int study = 0; study < kStudies; ++study) {
    std::vector<double> sums;
    std::vector<int64_t> counts;
    for (int text = 0; text < kTexts; ++text) {
      const int count = random.Between(20, 60);
      const double level = random.Uniform();  // of the text, apart from its length
      double sum = 0;
      for (int i = 0; i < count; ++i) sum += random.Chance(level) ? 1 : 0;
      sums.push_back(sum);
      counts.push_back(count);
    }
    const Estimate estimate = RatioMean(sums, counts);
    covered += estimate.low <= 0.5 && 0.5 <= estimate.high ? 1 : 0;
  }
  EXPECT_GT(covered, 0.92 * kStudies);
  EXPECT_LT(covered, 0.98 * kStudies);
}

}  // namespace
}  // namespace fourstep
