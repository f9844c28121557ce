// What the kernels of a draw share: weights, ranks, parts of a row, sums over a block.
#pragma once

#include <cstdint>

#include "cuda/kernel_util.cuh"
#include "cuda/sampling.h"
#include "sampling/exp_float.h"
#include "sampling/token_weight.h"

namespace fourstep::cuda {

#ifdef FOURSTEP_RACECHECK  // with 1,024 threads it takes minutes for a test of few tokens
constexpr int kStatThreads = 128;
#else
constexpr int kStatThreads = 1024;
#endif
constexpr int kPickThreads = 1024;
constexpr uint64_t kNoLimit = ~uint64_t{0};
// Exponents from here on are listed and binned. A row whose filters need more is read whole.
constexpr float kListFloor = -12.0f;

// The weight of a token in units of 2^-40 of the most probable one; `y` its exponent, <= 0.
inline __device__ uint64_t WeightOf(float y) {
  const float scaled = ExpNonPositive(y) * 0x1p20f;
  const auto high = static_cast<int32_t>(scaled);
  const auto low = static_cast<int32_t>((scaled - static_cast<float>(high)) * 0x1p20f);
  return (static_cast<uint64_t>(high) << 20) + static_cast<uint64_t>(low);
}

template <class T, class Combine>
__device__ T WarpReduce(T x, const Combine& combine) {
  for (int distance = kWarpLanes / 2; distance > 0; distance /= 2)
    x = combine(x, __shfl_xor_sync(kAllLanes, x, distance));
  return x;
}

// Over the block, in an order that its size fixes; every thread gets it. `scratch`: one T a warp.
template <class T, class Combine>
__device__ T BlockReduce(T x, T* scratch, T neutral, const Combine& combine) {
  x = WarpReduce(x, combine);
  __syncthreads();
  if (threadIdx.x % kWarpLanes == 0) scratch[threadIdx.x / kWarpLanes] = x;
  __syncthreads();
  const unsigned lane = threadIdx.x % kWarpLanes;
  return WarpReduce(lane < blockDim.x / kWarpLanes ? scratch[lane] : neutral, combine);
}
struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

// Floats in an order of integers; NaN does not occur.
inline __device__ uint32_t OrderedBits(float x) {
  const uint32_t bits = __float_as_uint(x == 0 ? 0.0f : x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// Most probable first, then lowest id.
inline __device__ uint64_t RankKey(float logit, int token) {
  return static_cast<uint64_t>(~OrderedBits(logit)) << 32 | static_cast<uint32_t>(token);
}

struct PartRange {
  int begin, end;
};
inline __device__ PartRange RangeOf(int part, int vocab) {
  return {static_cast<int>(int64_t{part} * vocab / kStatParts),
          static_cast<int>(int64_t{part + 1} * vocab / kStatParts)};
}

// visit(token, logit, exists) for a thread's share of a part, several loads under way at a time. Whole warps
// come, also where some lanes have no token.
template <class Visit>
__device__ __forceinline__ void ForEachOfPart(const PartRange& range, const float* logits,
                                              const Visit& visit) {
  constexpr int kHeld = 5;  // a part of 160,000 tokens
  const int thread = static_cast<int>(threadIdx.x);
  for (int begin = range.begin; begin < range.end; begin += kHeld * kStatThreads) {
    float held[kHeld];
#pragma unroll
    for (int n = 0; n < kHeld; ++n) held[n] = logits[min(begin + n * kStatThreads + thread, range.end - 1)];
#pragma unroll
    for (int n = 0; n < kHeld; ++n) {
      const int token = begin + n * kStatThreads + thread;
      visit(token, held[n], token < range.end);
    }
  }
}

// Inclusive, over the lanes of a warp in their order.
__device__ __forceinline__ uint64_t WarpScan(uint64_t x) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  for (int distance = 1; distance < kWarpLanes; distance *= 2) {
    const uint64_t below = __shfl_up_sync(kAllLanes, x, distance);
    if (lane >= distance) x += below;
  }
  return x;
}

}  // namespace fourstep::cuda
