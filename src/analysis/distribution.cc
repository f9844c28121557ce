#include "analysis/distribution.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace fourstep {

DistributionFacts FactsOf(std::span<const float> logits) {
  FOURSTEP_CHECK(!logits.empty());
  const auto best = std::max_element(logits.begin(), logits.end());
  const double highest = *best;
  double partition = 0, weighted = 0;  // of e^(logit - highest), and of that times (logit - highest)
  for (const float logit : logits) {
    const double weight = std::exp(logit - highest);
    partition += weight;
    weighted += weight * (logit - highest);
  }
  return {.best = static_cast<int32_t>(best - logits.begin()),
          .entropy = std::max(0.0, std::log(partition) - weighted / partition),
          .best_mass = 1 / partition,
          .log_partition = highest + std::log(partition)};
}

double KlDivergence(std::span<const float> p_logits, const DistributionFacts& p,
                    std::span<const float> q_logits, const DistributionFacts& q) {
  FOURSTEP_CHECK(p_logits.size() == q_logits.size(), "{} and {} tokens", p_logits.size(), q_logits.size());
  double kl = 0;
  for (size_t i = 0; i < p_logits.size(); ++i) {
    const double log_p = p_logits[i] - p.log_partition, log_q = q_logits[i] - q.log_partition;
    kl += std::exp(log_p) * (log_p - log_q);
  }
  return std::max(0.0, kl);
}

double MassBeside(std::span<const float> logits, int32_t token, double temperature) {
  const double own = logits[static_cast<size_t>(token)];
  double others = 0;  // relative to the token's weight; infinite where that vanishes, and the mass then 1
  for (size_t i = 0; i < logits.size(); ++i) {
    if (i != static_cast<size_t>(token)) others += std::exp((logits[i] - own) / temperature);
  }
  return std::isinf(others) ? 1 : others / (1 + others);
}

}  // namespace fourstep
