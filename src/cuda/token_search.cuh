// Filters and draws by search: any of them, over the listed tokens of a row or all.
#pragma once

#include "cuda/token_parts.cuh"

namespace fourstep::cuda {

// What filters choose among: the listed tokens of a row or all of them, those after `last_key` in rank left
// out and those lighter than `min_weight`.
struct Choice {
  const float* logits;      // [count], or null
  const ListedToken* list;  // [count] where logits is null
  int count;
  float max, temperature;
  uint64_t last_key, min_weight;

  // Calls visit(logit, token, weight) for this thread's share.
  template <class Visit>
  __device__ void ForEach(const Visit& visit) const {
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kPickThreads) {
      const float logit = logits != nullptr ? logits[i] : list[i].logit;
      const int token = logits != nullptr ? i : list[i].token;
      const uint64_t weight = WeightOf((logit - max) / temperature);
      if (weight >= min_weight && weight > 0 && RankKey(logit, token) <= last_key)
        visit(logit, token, weight);
    }
  }
};

struct Selected {
  uint64_t key, mass;  // mass: of the prefix that ends with it
};

// The first token, in the order of `key_of`, with which `tokens` tokens or `mass` of weight are reached, or
// the last one. Eight bits of the key at a time, from `first_shift` down, by histograms, until they name one
// token alone. The whole block calls.
template <class KeyOf>
__device__ Selected Select(const Choice& choice, const KeyOf& key_of, int first_shift, uint64_t tokens,
                           uint64_t mass) {
  constexpr int kBins = 256;
  __shared__ unsigned long long bin_mass[kBins];
  __shared__ unsigned int bin_count[kBins];
  __shared__ uint64_t prefix, mass_before, tokens_before;
  __shared__ bool is_alone;
  if (threadIdx.x == 0) prefix = mass_before = tokens_before = 0;
  int shift = first_shift;
  for (;; shift -= 8) {
    if (threadIdx.x < kBins) {
      bin_mass[threadIdx.x] = 0;
      bin_count[threadIdx.x] = 0;
    }
    __syncthreads();
    choice.ForEach([&](float logit, int token, uint64_t weight) {
      const uint64_t key = key_of(logit, token);
      if (shift < first_shift && key >> (shift + 8) != prefix) return;
      const auto bin = static_cast<int>(key >> shift & 0xFF);
      atomicAdd(bin_mass + bin, static_cast<unsigned long long>(weight));
      atomicAdd(bin_count + bin, 1u);
    });
    __syncthreads();
    if (threadIdx.x < kWarpLanes) {  // eight bins a lane
      const int lane = static_cast<int>(threadIdx.x);
      uint64_t my_mass = 0, my_tokens = 0;
      for (int i = 0; i < 8; ++i) {
        my_mass += bin_mass[8 * lane + i];
        my_tokens += bin_count[8 * lane + i];
      }
      uint64_t sum_mass = my_mass, sum_tokens = my_tokens;  // of lanes up to this one
      for (int distance = 1; distance < kWarpLanes; distance *= 2) {
        const uint64_t m = __shfl_up_sync(kAllLanes, sum_mass, distance),
                       n = __shfl_up_sync(kAllLanes, sum_tokens, distance);
        if (lane >= distance) {
          sum_mass += m;
          sum_tokens += n;
        }
      }
      const uint64_t before_mass = mass_before, before_tokens = tokens_before;
      __syncwarp();
      const bool is_met = before_mass + sum_mass >= mass || before_tokens + sum_tokens >= tokens;
      const unsigned met = __ballot_sync(kAllLanes, is_met), used = __ballot_sync(kAllLanes, my_tokens > 0);
      const int chosen =
          met != 0 ? __ffs(static_cast<int>(met)) - 1 : kWarpLanes - 1 - __clz(static_cast<int>(used));
      if (lane == chosen) {
        uint64_t m = before_mass + sum_mass - my_mass, n = before_tokens + sum_tokens - my_tokens;
        int bin = 8 * lane, last_used = bin;
        uint64_t last_m = m, last_n = n;
        for (; bin < 8 * lane + 8; ++bin) {
          if (bin_count[bin] == 0) continue;
          last_used = bin;
          last_m = m;
          last_n = n;
          m += bin_mass[bin];
          n += bin_count[bin];
          if (m >= mass || n >= tokens) break;
        }
        prefix = prefix << 8 | static_cast<uint64_t>(last_used);
        mass_before = last_m;
        tokens_before = last_n;
        is_alone = bin_count[last_used] == 1;
      }
    }
    __syncthreads();
    if (is_alone || shift == 0) break;
  }
  __shared__ Selected found;
  choice.ForEach([&](float logit, int token, uint64_t weight) {
    const uint64_t key = key_of(logit, token);
    if (key >> shift == prefix) found = {key, mass_before + weight};
  });
  __syncthreads();
  const Selected selected = found;
  __syncthreads();
  return selected;
}

}  // namespace fourstep::cuda
