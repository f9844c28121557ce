// Next-token distributions, and how two of them differ.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace fourstep {

// Temperatures at which the mass beside the best token is measured.
inline constexpr std::array<double, 3> kMassTemperatures = {0.1, 0.6, 1.0};

struct DistributionFacts {
  int32_t best = 0;          // the likeliest token, the first of equals
  double entropy = 0;        // nats, of the softmax
  double best_mass = 0;      // probability of the likeliest token
  double log_partition = 0;  // ln of the sum of e^logit
};

// Of the softmax of one row of logits (one or more, finite).
DistributionFacts FactsOf(std::span<const float> logits /*[vocab]*/);

// KL(p || q) in nats, of softmaxes over the same vocabulary; 0 or more.
double KlDivergence(std::span<const float> p_logits, const DistributionFacts& p,
                    std::span<const float> q_logits, const DistributionFacts& q);

// The probability of all tokens but `token` at a temperature above 0.
double MassBeside(std::span<const float> logits, int32_t token, double temperature);

}  // namespace fourstep
