// Statistics of right-or-wrong answers: intervals, paired differences, exact tests. All intervals are
// two-sided. Sources: Wilson (1927); McNemar (1947), exact form; Holm (1979).
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

// Mean of one value a problem (a share of right answers over its samples): a normal interval from the spread
// between problems, which is the interval clustered by problem. With one value it is the whole range 0..1.
Estimate ClusteredMean(std::span<const double> per_problem /*[problems]*/, double confidence = 0.95);

// Mean of a - b over problems that both arms answered, with the interval from the spread of the differences.
Estimate PairedDifference(std::span<const double> a /*[problems]*/, std::span<const double> b /*[problems]*/,
                          double confidence = 0.95);

// Exact two-sided McNemar test of two arms with one answer a problem: the p-value of `only_a` problems that
// only arm a got right against `only_b`, under equal chances.
double McNemarExact(int64_t only_a, int64_t only_b);

// Holm's step-down adjustment: p-values that hold jointly, in the order given.
std::vector<double> HolmAdjusted(std::span<const double> p_values);

}  // namespace fourstep
