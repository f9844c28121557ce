#include "eval/statistics.h"

#include <gtest/gtest.h>

#include "base/philox.h"

namespace fourstep {
namespace {

TEST(Statistics, NormalQuantileEqualsTables) {
  EXPECT_NEAR(NormalQuantile(0.95), 1.959963984540054, 1e-9);
  EXPECT_NEAR(NormalQuantile(0.99), 2.5758293035489004, 1e-9);
}

// Wilson (1927) intervals as R's prop.test(correct = FALSE) prints them.
TEST(Statistics, ProportionIntervalEqualsR) {
  const Estimate few = ProportionInterval(7, 10);
  EXPECT_NEAR(few.low, 0.3967781, 1e-6);
  EXPECT_NEAR(few.high, 0.8922087, 1e-6);
  EXPECT_EQ(ProportionInterval(0, 5).low, 0);
  EXPECT_GT(ProportionInterval(0, 5).high, 0.4);
}

TEST(Statistics, McNemarEqualsTheBinomialTest) {
  EXPECT_NEAR(McNemarExact(2, 10), 0.03857421875, 1e-10);  // binom.test(2, 12)
  EXPECT_EQ(McNemarExact(5, 5), 1);
  EXPECT_EQ(McNemarExact(0, 0), 1);
  EXPECT_NEAR(McNemarExact(4000, 4000), 1, 1e-9);
  EXPECT_LT(McNemarExact(4000, 5000), 1e-20);
}

TEST(Statistics, HolmEqualsR) {  // p.adjust(c(.01, .04, .03, .005), "holm")
  const std::vector<double> adjusted = HolmAdjusted(std::vector<double>{0.01, 0.04, 0.03, 0.005});
  const std::vector<double> expected = {0.03, 0.06, 0.06, 0.02};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(adjusted[i], expected[i], 1e-12);
}

// The share of simulated studies whose interval holds the truth, for each interval. 2,000 studies give the
// share to
// +-0.005 (one standard deviation), so 0.93 is four below 0.95.
TEST(Statistics, IntervalsCoverTheTruth) {
  PhiloxStream random(7);
  constexpr int kStudies = 2000, kProblems = 200;
  int covered_share = 0, covered_mean = 0, covered_difference = 0;
  for (int study = 0; study < kStudies; ++study) {
    std::vector<double> a(kProblems), b(kProblems);
    int64_t right = 0;
    for (int i = 0; i < kProblems; ++i) {
      const double ability = random.Uniform();  // shared by both arms: the pairing
      const auto Sample = [&](double p) { return random.Chance(p) ? 0.5 : 0.0; };
      a[i] = Sample(ability) + Sample(ability);
      b[i] = Sample(0.8 * ability) + Sample(0.8 * ability);
      right += random.Chance(0.3);
    }
    const auto Holds = [](const Estimate& e, double truth) { return e.low <= truth && truth <= e.high; };
    covered_share += Holds(ProportionInterval(right, kProblems), 0.3);
    covered_mean += Holds(ClusteredMean(a), 0.5);
    covered_difference += Holds(PairedDifference(a, b), 0.1);
  }
  for (const int covered : {covered_share, covered_mean, covered_difference}) {
    EXPECT_GT(covered, 0.93 * kStudies);
    EXPECT_LT(covered, 0.97 * kStudies);
  }
}

}  // namespace
}  // namespace fourstep
