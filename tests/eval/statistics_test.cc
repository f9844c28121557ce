#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

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

TEST(Statistics, StudentEqualsR) {  // qt(0.975, c(1, 4, 29, 1000))
  EXPECT_NEAR(StudentQuantile(0.95, 1), 12.7062047364, 1e-8);
  EXPECT_NEAR(StudentQuantile(0.95, 4), 2.7764451052, 1e-9);
  EXPECT_NEAR(StudentQuantile(0.95, 29), 2.0452296421, 1e-9);
  EXPECT_NEAR(StudentQuantile(0.95, 1000), 1.9623390808, 1e-9);
}

// t.test(c(.5, 1, 0, .5, 1), c(0, 1, 0, .5, .25), paired = TRUE)
TEST(Statistics, PairedPValueEqualsR) {
  const std::vector<double> a = {0.5, 1, 0, 0.5, 1}, b = {0, 1, 0, 0.5, 0.25};
  EXPECT_NEAR(PairedPValue(a, b), 0.1890036585, 1e-8);
  EXPECT_NEAR(PairedPValue(b, a), 0.1890036585, 1e-8);
  EXPECT_EQ(PairedPValue(a, a), 1);
}

TEST(Statistics, IntervalsOfTheUnanimousHaveWidth) {
  const std::vector<double> all_right(30, 1.0);
  EXPECT_LT(ClusteredMean(all_right).low, 0.92);
  EXPECT_EQ(ClusteredMean(all_right).high, 1);
  const Estimate none = PairedDifference(all_right, all_right);
  EXPECT_EQ(none.mean, 0);
  EXPECT_LT(none.low, -0.05);
  EXPECT_GT(none.high, 0.05);
  EXPECT_EQ(ClusteredMean(std::vector<double>{0.5}).high, 1);
}

TEST(Statistics, ForecastsInvertEachOther) {
  EXPECT_NEAR(ExpectedHalfWidth(0.25, 9604), 0.01, 1e-5);  // the pollster's 9,604
  EXPECT_EQ(ProblemsNeeded(0.25, 0.01), 9604);
  for (const double variance : {0.01, 0.1, 0.25}) {
    for (const double wanted : {0.005, 0.01, 0.1}) {
      const int64_t n = ProblemsNeeded(variance, wanted);
      EXPECT_LE(ExpectedHalfWidth(variance, n), wanted + 1e-12);
      if (n > 1) {
        EXPECT_GT(ExpectedHalfWidth(variance, n - 1), wanted);
      }
    }
  }
}

struct Simulation {
  int problems, samples;
  double low, high;  // abilities are uniform within
  double effect;     // arm b's chance is that of a less this share
};

struct Coverage {
  double share = 0, mean = 0, difference = 0;
};

bool Holds(const Estimate& estimate, double truth) {
  return estimate.low <= truth && truth <= estimate.high;
}

// The share of simulated studies whose interval holds the truth, for each interval. Abilities differ between
// problems and are shared by both arms, which is what the pairing and the clustering are for.
Coverage Simulate(const Simulation& s, uint64_t seed) {
  constexpr int kStudies = 2000;
  PhiloxStream random(seed);
  Coverage coverage;
  for (int study = 0; study < kStudies; ++study) {
    std::vector<double> a, b;
    int64_t right = 0;
    for (int i = 0; i < s.problems; ++i) {
      const double ability = s.low + (s.high - s.low) * random.Uniform();
      double of_a = 0, of_b = 0;
      for (int sample = 0; sample < s.samples; ++sample) {
        of_a += random.Chance(ability) ? 1 : 0;
        of_b += random.Chance((1 - s.effect) * ability) ? 1 : 0;
      }
      a.push_back(of_a / s.samples);
      b.push_back(of_b / s.samples);
      right += random.Chance(s.low) ? 1 : 0;
    }
    const double mean = (s.low + s.high) / 2;
    coverage.share += Holds(ProportionInterval(right, s.problems), s.low) ? 1 : 0;
    coverage.mean += Holds(ClusteredMean(a), mean) ? 1 : 0;
    coverage.difference += Holds(PairedDifference(a, b, s.samples), s.effect * mean) ? 1 : 0;
  }
  for (double* count : {&coverage.share, &coverage.mean, &coverage.difference}) *count /= kStudies;
  return coverage;
}

// 2,000 studies give a coverage to +-0.005 (one standard deviation), so 0.93 is four below 0.95.
TEST(Statistics, IntervalsCoverTheTruth) {
  const Simulation simulations[] = {
      {.problems = 200, .samples = 2, .low = 0, .high = 1, .effect = 0.2},
      {.problems = 30, .samples = 8, .low = 0.1, .high = 0.9, .effect = 0.1},
      {.problems = 30, .samples = 1, .low = 0.2, .high = 0.9, .effect = 0.3},
      {.problems = 120, .samples = 8, .low = 0.3, .high = 1, .effect = 0},
      {.problems = 500, .samples = 1, .low = 0.6, .high = 1, .effect = 0.05},
  };
  uint64_t seed = 7;
  for (const Simulation& simulation : simulations) {
    const Coverage coverage = Simulate(simulation, seed++);
    const std::string shown =
        std::to_string(simulation.problems) + " x " + std::to_string(simulation.samples);
    EXPECT_GT(coverage.share, 0.92) << shown;  // a discrete one has jumps
    EXPECT_GT(coverage.mean, 0.93) << shown;
    EXPECT_GT(coverage.difference, 0.93) << shown;
    EXPECT_LT(coverage.mean, 0.98) << shown;
    EXPECT_LT(coverage.difference, 0.985) << shown;
  }
}

// Where problems are few and nearly all are right, the plain interval of mean and spread fails; these must
// not.
TEST(Statistics, IntervalsCoverTheTruthNearTheEdge) {
  const Coverage coverage =
      Simulate({.problems = 30, .samples = 4, .low = 0.95, .high = 1, .effect = 0.02}, 23);
  EXPECT_GT(coverage.mean, 0.93);
  EXPECT_GT(coverage.difference, 0.93);
}

TEST(Statistics, BootstrapAgreesWithTheIntervals) {
  PhiloxStream random(3);
  std::vector<double> a, b, differences;
  for (int i = 0; i < 1000; ++i) {
    const double ability = random.Uniform();
    a.push_back(random.Chance(ability) ? 1 : 0);
    b.push_back(random.Chance(0.9 * ability) ? 1 : 0);
    differences.push_back(a.back() - b.back());
  }
  const Estimate by_formula = PairedDifference(a, b), by_bootstrap = BootstrapMean(differences);
  EXPECT_EQ(by_formula.mean, by_bootstrap.mean);
  EXPECT_NEAR(by_formula.low, by_bootstrap.low, 0.15 * by_formula.half_width());
  EXPECT_NEAR(by_formula.high, by_bootstrap.high, 0.15 * by_formula.half_width());
  EXPECT_EQ(BootstrapMean(a, 5).low, BootstrapMean(a, 5).low);
}

}  // namespace
}  // namespace fourstep
