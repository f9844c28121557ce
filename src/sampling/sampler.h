// From the logits of one row to a token: statistics, adjustments, policy, filters, draw. Host code of the
// reference and CPU backends, and what a device's kernels are tested against. Statistics are of the raw
// logits; what is drawn, be it the arg-max, is of the adjusted ones (docs/sampling.md).
//
// A draw is a function of (logits, request, tokens so far, seed, output position) and of nothing else.
// Probabilities are integers in units of 2^-40 of the largest one, so that their sums have no order: neither
// the filters nor the inverse CDF depend on how a sum was split.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/token_record.h"
#include "sampling/boundary_tokens.h"
#include "sampling/policy.h"
#include "sampling/token_adjustments.h"

namespace fourstep {

struct LogitStats {
  // False where a logit is NaN or +infinity, or all are -infinity; the rest is then 0. -infinity is a
  // probability of 0.
  bool valid = false;
  float max = 0;
  float log_sum_exp = 0;
  float entropy = 0;  // nats, >= 0
};

// Of the softmax of the raw logits [vocab], padding included. Fp32 terms; the order of the sum is fixed.
LogitStats ComputeLogitStats(std::span<const float> logits);

// One token that may be drawn: what the filters choose among.
struct SamplingCandidate {
  float logit = 0;
  int32_t token = 0;
  uint64_t weight = 0;  // probability after the temperature, the largest is 2^40
};

// The state of one slot's answer. A new answer is SamplerSlot{.params = ...}; `params` must be valid
// (ValidateSamplingParams).
struct SamplerSlot {
  SamplingParams params;
  PolicyState policy = {};
  int32_t output_position = 0;
  TokenAdjustments adjustments = {};
  // Working memory, kept for its capacity.
  std::vector<SamplingCandidate> candidates = {}, scratch = {};
};

// Fills slot.candidates with the tokens below `num_drawable` that may be drawn at `temperature` (> 1e-6), in
// the order of their ids: top-k, then top-p of what is left (the smallest set of most probable tokens whose
// mass reaches p, at least one), then min-p. Where probabilities are equal, lower ids come first. `logits`
// [vocab] must be valid and one below num_drawable finite.
void SelectCandidates(std::span<const float> logits, int32_t num_drawable, float temperature,
                      SamplerSlot& slot);

// Draws the next token of the slot and moves its state on. `record.slot` is the caller's to fill.
// token = -1 where the logits are not valid, or no drawable one is finite once adjusted: the answer cannot go
// on, and the state stands still.
DrawResult DrawToken(std::span<const float> logits, SamplerSlot& slot, const BoundaryTokens& boundary_tokens);

}  // namespace fourstep
