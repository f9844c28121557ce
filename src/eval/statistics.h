// Statistics of right-or-wrong answers: intervals, paired differences, exact tests. All intervals are
// two-sided. Sources: Wilson (1927);
// McNemar (1947), exact form; Holm (1979).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fourstep {

// A mean with its interval, all in the unit of the data (0..1 for accuracies).
struct Estimate {
  double mean = 0, low = 0, high = 0;
  double half_width() const { return (high - low) / 2; }
};

// The z with P(|Z| <= z) = confidence for a standard normal Z; confidence in (0, 1).
double NormalQuantile(double confidence);

// Wilson's score interval of a proportion: holds its coverage for few trials and near 0 and 1. trials >= 1.
Estimate ProportionInterval(int64_t successes, int64_t trials, double confidence = 0.95);

// The t with P(|T| <= t) = confidence for Student's T of `freedom` degrees (1 or more).
double StudentQuantile(double confidence, double freedom);

// Mean of one value in 0..1 a problem (a share of right answers over its samples), with the interval
// clustered by problem: Wilson's with as many trials as would spread like the problems do (Korn and Graubard,
// 1998), so that it holds near 0 and 1 too. With one problem it is the whole range.
Estimate ClusteredMean(std::span<const double> per_problem /*[problems]*/, double confidence = 0.95);

// Mean of a - b over problems that both arms answered, with the interval from the spread of the differences.
// Two problems that differ either way are added to the spread (Bonett and Price, 2012): without them arms
// that never differ would have an interval of nothing. `samples`: answers that a value is the mean of.
Estimate PairedDifference(std::span<const double> a /*[problems]*/, std::span<const double> b /*[problems]*/,
                          int32_t samples = 1, double confidence = 0.95);

// Two-sided p-value of Student's paired test: for several samples a problem, where McNemar's does not apply.
double PairedPValue(std::span<const double> a /*[problems]*/, std::span<const double> b /*[problems]*/);

// The mean with the interval that resampling the problems gives (percentiles of 1,000 resamples): a check of
// the others, which does not share their assumptions. Same seed, same interval.
Estimate BootstrapMean(std::span<const double> per_problem /*[problems]*/, uint64_t seed = 0,
                       double confidence = 0.95);

// The half-width to expect of the mean over `problems` values of such a variance, and how many are needed for
// one.
double ExpectedHalfWidth(double variance, int64_t problems, double confidence = 0.95);
int64_t ProblemsNeeded(double variance, double half_width, double confidence = 0.95);

// Exact two-sided McNemar test of two arms with one answer a problem: the p-value of `only_a` problems that
// only arm a got right against `only_b`, under equal chances.
double McNemarExact(int64_t only_a, int64_t only_b);

// Holm's step-down adjustment: p-values that hold jointly, in the order given.
std::vector<double> HolmAdjusted(std::span<const double> p_values);

}  // namespace fourstep
