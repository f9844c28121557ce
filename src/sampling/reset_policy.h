// ReSET (arXiv 2606.13233, Eqs. 1-2): low temperature at certain tokens, high temperature at uncertain ones,
// with a threshold that rises inside an uncertain reasoning step. A state of plain data and a few scalar
// operations a token, the same for host and device: nothing of it needs the other side.
//
// For the token at output position t, entropies in nats of the softmax of the raw logits:
//   W = the last `window` entropies before t, S = those of this step before t
//   step estimate = mean(S) once |S| >= window, until then mean(W); H_t for the first token of the answer
//   mean          = mean of all entropies before t; the step estimate for the first token
//   threshold     = the step estimate where it exceeds the mean (an uncertain step), else tau_0
//   temperature   = T_high where H_t >= threshold, else T_low
// A step ends with a token whose text contains "\n\n", or with the second of two tokens that are exactly
// "\n".
//
// Sums are integers in units of 2^-36 nats. They are exact, so that a window can be kept by adding and
// subtracting without drift, that the means of equal sets are equal whatever the order (the first tokens of
// an answer compare such means), and that CPU and GPU decide alike. 2^27 nats fit: 8 million tokens of 16
// nats.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "backend/token_record.h"
#include "base/host_device.h"

namespace fourstep {

// What a token's text means to the steps. Values are those of BoundaryTokens' table, one byte a token id.
enum class TokenClass : uint8_t {
  kOther,
  kBlankLine,  // contains "\n\n"
  kNewline,    // is "\n"
};

// All zero at the start of an answer. The prompt does not count.
struct PolicyState {
  int64_t total;                           // sum of all entropies, in units
  int64_t step_total;                      // of this step
  int64_t window_total;                    // of the last min(num_tokens, window)
  int64_t window_units[kMaxPolicyWindow];  // ring: the entropy of token i stands at i % window
  double step_average;                     // moving average of this step, in units (StepEstimator::kEma...)
  int32_t num_tokens;
  int32_t step_tokens;
  int32_t step;  // steps ended so far
  int32_t previous_is_newline;
};
static_assert(std::is_trivial_v<PolicyState> && std::is_standard_layout_v<PolicyState>);

inline constexpr double kEntropyUnitsPerNat = 0x1p36;
inline constexpr double kMaxEntropy = 64;  // nats; more than the logarithm of any vocabulary

// Rounded to the nearest unit; NaN and what is below 0 count as 0.
FOURSTEP_HD int64_t EntropyUnits(double entropy) {
  const double bounded = entropy > 0 ? (entropy < kMaxEntropy ? entropy : kMaxEntropy) : 0.0;
  return static_cast<int64_t>(bounded * kEntropyUnitsPerNat + 0.5);
}

// In units. While the sum is below 2^53 (131072 nats) equal ratios give equal results.
FOURSTEP_HD double MeanUnits(int64_t sum, int32_t count) {
  return static_cast<double>(sum) / static_cast<double>(count);
}

struct EntropyEstimates {
  double step, mean;  // Hstep_t and Hbar_t, in units
};

FOURSTEP_HD double WindowMeanUnits(const PolicyState& state, int32_t window) {
  return MeanUnits(state.window_total, state.num_tokens < window ? state.num_tokens : window);
}

// `units` is H_t. Estimators that start from the step's first token have nothing before it: the window's mean
// stands in at that token.
FOURSTEP_HD EntropyEstimates EstimateEntropy(const PolicyState& state, const PolicyParams& params,
                                             int64_t units) {
  if (state.num_tokens == 0) return {static_cast<double>(units), static_cast<double>(units)};
  EntropyEstimates estimates{0, MeanUnits(state.total, state.num_tokens)};
  const bool is_hybrid = params.estimator == StepEstimator::kHybrid;
  if (state.step_tokens < (is_hybrid ? params.window : 1)) {
    estimates.step = WindowMeanUnits(state, params.window);
  } else if (is_hybrid || params.estimator == StepEstimator::kCausalMean) {
    estimates.step = MeanUnits(state.step_total, state.step_tokens);
  } else {
    estimates.step = state.step_average;
  }
  return estimates;
}

struct PolicyDecision {
  float temperature;   // the logits are divided by it
  float step_entropy;  // Hstep_t, nats
  float mean_entropy;  // Hbar_t, nats
  float threshold;     // tau_t, nats; 0 where the policy has none
};

// `entropy` is H_t in nats.
FOURSTEP_HD PolicyDecision DecideReset(const EntropyEstimates& estimates, const PolicyParams& params,
                                       double entropy) {
  const bool is_step_uncertain = params.token_gate_only == 0 && estimates.step > estimates.mean;
  // tau_0 and the entropies of a model are floats: 0.55 from a file and 0.55 as an entropy must be equal.
  const bool is_token_uncertain = is_step_uncertain
                                      ? static_cast<double>(EntropyUnits(entropy)) >= estimates.step
                                      : static_cast<float>(entropy) >= params.tau_0;
  PolicyDecision decision{};
  decision.temperature = is_token_uncertain ? params.t_high : params.t_low;
  decision.threshold =
      is_step_uncertain ? static_cast<float>(estimates.step / kEntropyUnitsPerNat) : params.tau_0;
  return decision;
}

// The moving average after `units` joined; fma() so that no compiler decides about the rounding.
FOURSTEP_HD double NextStepAverage(const PolicyState& state, const PolicyParams& params, int64_t units) {
  const auto current = static_cast<double>(units);
  double past = state.step_average;
  if (state.step_tokens == 0) {
    const bool starts_from_window = params.estimator == StepEstimator::kEmaFromWindow && state.num_tokens > 0;
    past = starts_from_window ? WindowMeanUnits(state, params.window) : current;
  }
  return fma(static_cast<double>(params.ema_decay), past - current, current);
}

// The token of entropy `entropy` (nats) was drawn and is of class `drawn`: the state moves on to the next
// position. `params.window` must be the same for the whole answer.
FOURSTEP_HD void ObserveToken(PolicyState& state, const PolicyParams& params, double entropy,
                              TokenClass drawn) {
  const int64_t units = EntropyUnits(entropy);
  state.step_average = NextStepAverage(state, params, units);
  int64_t& oldest = state.window_units[state.num_tokens % params.window];
  state.window_total += units - (state.num_tokens >= params.window ? oldest : 0);
  oldest = units;
  state.total += units;
  state.step_total += units;
  ++state.num_tokens;
  ++state.step_tokens;

  const bool is_newline = drawn == TokenClass::kNewline;
  if (drawn == TokenClass::kBlankLine || (is_newline && state.previous_is_newline != 0)) {
    state.step_total = 0;
    state.step_tokens = 0;
    ++state.step;
  }
  state.previous_is_newline = is_newline ? 1 : 0;
}

}  // namespace fourstep
