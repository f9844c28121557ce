#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace fourstep {
namespace {

double NormalTail(double z) {
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

Estimate NormalInterval(std::span<const double> values, double confidence, double low, double high) {
  FOURSTEP_CHECK(!values.empty());
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() == 1) return {mean, low, high};  // one problem says nothing about the spread
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double error = NormalQuantile(confidence) * std::sqrt(squares / (n - 1) / n);
  return {mean, std::max(low, mean - error), std::min(high, mean + error)};
}

}  // namespace

double NormalQuantile(double confidence) {
  FOURSTEP_CHECK(confidence > 0 && confidence < 1, "confidence {}", confidence);
  const double tail = (1 - confidence) / 2;
  double low = 0, high = 40;
  while (high - low > 1e-12) {
    const double middle = (low + high) / 2;
    (NormalTail(middle) > tail ? low : high) = middle;
  }
  return (low + high) / 2;
}

Estimate ProportionInterval(int64_t successes, int64_t trials, double confidence) {
  FOURSTEP_CHECK(trials >= 1 && successes >= 0 && successes <= trials, "{} of {}", successes, trials);
  const double z = NormalQuantile(confidence);
  const auto n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double denominator = 1 + z * z / n;
  const double centre = (p + z * z / (2 * n)) / denominator;
  const double reach = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / denominator;
  return {p, std::max(0.0, centre - reach), std::min(1.0, centre + reach)};
}

Estimate ClusteredMean(std::span<const double> per_problem, double confidence) {
  return NormalInterval(per_problem, confidence, 0, 1);
}

Estimate PairedDifference(std::span<const double> a, std::span<const double> b, double confidence) {
  FOURSTEP_CHECK(a.size() == b.size(), "{} and {} problems", a.size(), b.size());
  std::vector<double> differences(a.size());
  std::transform(a.begin(), a.end(), b.begin(), differences.begin(), std::minus<>());
  return NormalInterval(differences, confidence, -1, 1);
}

double McNemarExact(int64_t only_a, int64_t only_b) {
  FOURSTEP_CHECK(only_a >= 0 && only_b >= 0);
  const int64_t n = only_a + only_b;
  if (n == 0) return 1;
  // Sum of the binomial's lower tail in logarithms: n may be thousands, and 2^-n then has no double.
  double tail = 0;
  for (int64_t i = 0; i <= std::min(only_a, only_b); ++i) {
    const auto n_d = static_cast<double>(n), i_d = static_cast<double>(i);
    tail += std::exp(std::lgamma(n_d + 1) - std::lgamma(i_d + 1) - std::lgamma(n_d - i_d + 1) - n_d * M_LN2);
  }
  return std::min(1.0, 2 * tail);
}

std::vector<double> HolmAdjusted(std::span<const double> p_values) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p_values[i] < p_values[j]; });
  std::vector<double> adjusted(p_values.size());
  double floor = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const auto remaining = static_cast<double>(order.size() - rank);
    floor = std::max(floor, std::min(1.0, remaining * p_values[order[rank]]));
    adjusted[order[rank]] = floor;
  }
  return adjusted;
}

}  // namespace fourstep
