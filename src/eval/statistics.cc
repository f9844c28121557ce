#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/philox.h"

namespace fourstep {
namespace {

double NormalTail(double z) {
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

double Mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Of the mean of the values.
double StandardError(std::span<const double> values, double mean) {
  const auto n = static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (n - 1) / n);
}

std::vector<double> Differences(std::span<const double> a, std::span<const double> b) {
  FOURSTEP_CHECK(a.size() == b.size() && !a.empty(), "{} and {} problems", a.size(), b.size());
  std::vector<double> differences(a.size());
  std::transform(a.begin(), a.end(), b.begin(), differences.begin(), std::minus<>());
  return differences;
}

// The continued fraction of the incomplete beta function, by Lentz's method; converges fast for x <
// (a+1)/(a+b+2).
double BetaFraction(double x, double a, double b) {
  constexpr double kTiny = 1e-300, kPrecision = 1e-15;
  const auto away_from_0 = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double c = 1, d = 1 / away_from_0(1 - (a + b) * x / (a + 1)), result = d;
  for (int m = 1; m < 10'000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    for (const double term : {even, odd}) {
      d = 1 / away_from_0(1 + term * d);
      c = away_from_0(1 + term / c);
      result *= c * d;
    }
    if (std::abs(c * d - 1) < kPrecision) break;
  }
  return result;
}

// The regularised incomplete beta function I_x(a, b).
double IncompleteBeta(double x, double a, double b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * BetaFraction(x, a, b) / a
                                   : 1 - front * BetaFraction(1 - x, b, a) / b;
}

// P(|T| > t).
double StudentTails(double t, double freedom) {
  return IncompleteBeta(freedom / (freedom + t * t), freedom / 2, 0.5);
}

// Wilson's interval with the critical value `z` for `trials` trials, which need not be whole.
Estimate WilsonInterval(double p, double trials, double z) {
  const double denominator = 1 + z * z / trials;
  const double centre = (p + z * z / (2 * trials)) / denominator;
  const double reach = z * std::sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / denominator;
  return {p, std::max(0.0, centre - reach), std::min(1.0, centre + reach)};
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

double StudentQuantile(double confidence, double freedom) {
  FOURSTEP_CHECK(confidence > 0 && confidence < 1 && freedom >= 1, "confidence {}, freedom {}", confidence,
                 freedom);
  double low = 0, high = 1;
  while (StudentTails(high, freedom) > 1 - confidence) high *= 2;
  while (high - low > 1e-12 * high) {
    const double middle = (low + high) / 2;
    (StudentTails(middle, freedom) > 1 - confidence ? low : high) = middle;
  }
  return (low + high) / 2;
}

Estimate ProportionInterval(int64_t successes, int64_t trials, double confidence) {
  FOURSTEP_CHECK(trials >= 1 && successes >= 0 && successes <= trials, "{} of {}", successes, trials);
  const auto n = static_cast<double>(trials);
  return WilsonInterval(static_cast<double>(successes) / n, n, NormalQuantile(confidence));
}

Estimate ClusteredMean(std::span<const double> per_problem, double confidence) {
  FOURSTEP_CHECK(!per_problem.empty());
  const double mean = Mean(per_problem);
  if (per_problem.size() == 1) return {mean, 0, 1};  // one problem says nothing about the spread
  const auto n = static_cast<double>(per_problem.size());
  const double error = StandardError(per_problem, mean);
  const double trials = error > 0 ? mean * (1 - mean) / (error * error) : n;
  return WilsonInterval(mean, trials, StudentQuantile(confidence, n - 1));
}

Estimate PairedDifference(std::span<const double> a, std::span<const double> b, int32_t samples,
                          double confidence) {
  const std::vector<double> differences = Differences(a, b);
  const double n = static_cast<double>(differences.size()) + 2;
  double sum = 0, squares = 2.0 / samples;  // those of the two that are added
  for (const double difference : differences) {
    sum += difference;
    squares += difference * difference;
  }
  const double centre = sum / n;
  const double error = NormalQuantile(confidence) * std::sqrt((squares / n - centre * centre) / n);
  return {Mean(differences), std::max(-1.0, centre - error), std::min(1.0, centre + error)};
}

double PairedPValue(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> differences = Differences(a, b);
  const double mean = Mean(differences);
  if (differences.size() == 1 || mean == 0) return 1;
  const double error = StandardError(differences, mean);
  return error > 0 ? StudentTails(mean / error, static_cast<double>(differences.size() - 1)) : 0;
}

Estimate BootstrapMean(std::span<const double> per_problem, uint64_t seed, double confidence) {
  FOURSTEP_CHECK(!per_problem.empty());
  constexpr int kResamples = 1000;
  const auto n = static_cast<uint32_t>(per_problem.size());
  std::vector<double> means(kResamples);
#pragma omp parallel for
  for (int i = 0; i < kResamples; ++i) {
    PhiloxStream random(seed, static_cast<uint64_t>(i));
    double sum = 0;
    for (uint32_t j = 0; j < n; ++j) sum += per_problem[random.Below(n)];
    means[static_cast<size_t>(i)] = sum / n;
  }
  std::sort(means.begin(), means.end());
  const double tail = (1 - confidence) / 2 * (kResamples - 1);
  const auto low = static_cast<size_t>(std::floor(tail)),
             high = static_cast<size_t>(std::ceil(kResamples - 1 - tail));
  return {Mean(per_problem), means[low], means[high]};
}

double ExpectedHalfWidth(double variance, int64_t problems, double confidence) {
  FOURSTEP_CHECK(variance >= 0 && problems >= 1, "variance {}, {} problems", variance, problems);
  return NormalQuantile(confidence) * std::sqrt(variance / static_cast<double>(problems));
}

int64_t ProblemsNeeded(double variance, double half_width, double confidence) {
  FOURSTEP_CHECK(variance >= 0 && half_width > 0, "variance {}, half-width {}", variance, half_width);
  const double root = NormalQuantile(confidence) / half_width;
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(variance * root * root - 1e-9)));
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
