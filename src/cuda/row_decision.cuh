// From the statistics of a row's parts to its RowDecision.
#pragma once

#include "cuda/token_parts.cuh"
#include "sampling/policy.h"

namespace fourstep::cuda {

// One warp; every lane gets the same.
inline __device__ RowDecision Decide(const SamplingView& v, int draw, const SlotState& slot) {
  const PartStats part = v.stats[draw * kStatParts + static_cast<int>(threadIdx.x % kWarpLanes)];
  static_assert(kStatParts == kWarpLanes);
  RowDecision r{};
  const float max = WarpReduce(part.max, Max{});
  r.max = WarpReduce(part.drawable_max, Max{});
  r.is_valid = __any_sync(kAllLanes, part.is_invalid) == 0 && max > -INFINITY && r.max > -INFINITY;
  if (!r.is_valid) return r;
  const unsigned holders = __ballot_sync(kAllLanes, part.drawable_max == r.max);
  r.argmax = __shfl_sync(kAllLanes, part.drawable_argmax, __ffs(static_cast<int>(holders)) - 1);
  const double shift = part.max > -INFINITY ? static_cast<double>(part.max) - max : 0.0;
  const double factor = part.max > -INFINITY ? exp(shift) : 0.0;
  const double sum = WarpReduce(part.sum * factor, Add{});
  const double weighted = WarpReduce((part.weighted_sum + shift * part.sum) * factor, Add{});
  const double log_z = log(sum), entropy = log_z - weighted / sum;
  r.entropy = static_cast<float>(entropy > 0 ? entropy : 0.0);
  r.log_sum_exp = static_cast<float>(max + log_z);
  r.policy = ChooseTemperature(slot.policy, slot.params.policy, r.entropy, logf(static_cast<float>(v.vocab)));
  return r;
}

inline __device__ bool IsGreedy(const RowDecision& r) {
  return r.policy.temperature <= kGreedyTemperature;
}

}  // namespace fourstep::cuda
