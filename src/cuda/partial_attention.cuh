// Results of attention over parts of a context, how they are merged, and how they become a row's output.
#pragma once

#include <cfloat>
#include <cstdint>

#include "cuda/attention.h"
#include "cuda/kernel_util.cuh"
#include "cuda/row_form.cuh"

namespace fourstep::cuda {

// A partial result of a head: its maximum, its sum, and its weighted sums of the values.
constexpr int kPartialHeader = 2;
// From one to the next in shared memory, in floats: so that lanes 4 g + t, which store of rows g, are on
// different banks.
template <int kDims>
constexpr int kPartialStride = kDims + 8;

// And in the workspace [kAttentionRows][heads][kMaxSplits].
template <int kDims>
constexpr int kWorkspaceStride = kPartialHeader + kDims;
template <int kDims>
__device__ __forceinline__ float* WorkspaceOf(const AttentionCall& call, int row, int head) {
  return call.workspace.partial +
         (int64_t{row} * call.cache.num_heads + head) * kMaxSplits * kWorkspaceStride<kDims>;
}

// The maximum of no scores: finite, so that differences of maxima are numbers.
constexpr float kNoScore = -FLT_MAX;

// 2^x, 0 where that is subnormal.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Adds a partial result to the sum of those before it, both relative to the larger of the maxima. Every
// rounding is spelled out: kernels that merge at different times must get the same bits.
struct Fold {
  float old_factor, new_factor;

  // `max`: of those before, then of all.
  __device__ __forceinline__ Fold(float& max, float new_max) {
    const float above = new_max - max, factor = Exp2(-fabsf(above));
    old_factor = above > 0 ? factor : 1.0f;
    new_factor = above > 0 ? 1.0f : factor;
    max = fmaxf(max, new_max);
  }
  __device__ __forceinline__ float operator()(float old, float added) const {
    return __fmaf_rn(added, new_factor, __fmul_rn(old, old_factor));
  }
};

// Partial results of some heads, in shared or in global memory.
struct Partials {
  const float* first;
  int stride, head_stride;  // in floats
};

// Two dimensions of a head, before division by the sum.
struct Merged {
  float max, sum;
  float2 values;
};

// Dimensions dim and dim + 1 of `count` partial results, kMost at most, which are loaded all at once and
// merged in order.
template <int kMost>
__device__ __forceinline__ Merged Merge(const Partials& p, int count, int head, int dim) {
  const float* at = p.first + head * p.head_stride;
  float2 headers[kMost], values[kMost];
#pragma unroll
  for (int i = 0; i < kMost; ++i) {
    headers[i] = make_float2(kNoScore, 0.0f);
    values[i] = make_float2(0.0f, 0.0f);
    if (i < count) {
      headers[i] = *reinterpret_cast<const float2*>(at + i * p.stride);
      values[i] = *reinterpret_cast<const float2*>(at + i * p.stride + kPartialHeader + dim);
    }
  }
  Merged merged{headers[0].x, headers[0].y, values[0]};
  constexpr int kStep = 4;  // those that are not there change nothing, but take their time
#pragma unroll
  for (int i = 1; i < kMost; ++i) {
    if (i % kStep == 0 && i > count) break;
    const Fold fold(merged.max, headers[i].x);
    merged.sum = fold(merged.sum, headers[i].y);
    merged.values.x = fold(merged.values.x, values[i].x);
    merged.values.y = fold(merged.values.y, values[i].y);
  }
  return merged;
}

// Whether this block is the last of `num_blocks` that have stored their results; then it sees those of all.
//
// One thread's atomic operation releases what the block stored and acquires what other blocks released: the
// barrier before it orders the stores of all threads before the release, the one behind it their loads after
// the acquire, and the order of the memory model carries over from barriers to operations of a larger scope.
__device__ __forceinline__ bool IsLast(int32_t* arrived, int num_blocks) {
  __shared__ int num_before;
  __syncthreads();
  if (threadIdx.x == 0) {
    int before;
    asm volatile("atom.acq_rel.gpu.global.add.s32 %0, [%1], 1;"
                 : "=r"(before)
                 : "l"(__cvta_generic_to_global(arrived))
                 : "memory");
    if (before == num_blocks - 1) *arrived = 0;
    num_before = before;
  }
  __syncthreads();
  return num_before == num_blocks - 1;
}

// function(head, dim, exists) for dimensions dim and dim + 1 of num_heads heads, by num_warps warps: 32 pairs
// at a time, so that all lanes come, those beyond head_dim too.
template <class Function>
__device__ __forceinline__ void ForDimPairs(int head_dim, int num_heads, int num_warps,
                                            const Function& function) {
  const int warp = WarpIndex(), lane = LaneIndex();
  const int chunks = (head_dim + 2 * kWarpLanes - 1) / (2 * kWarpLanes);  // of a head
  for (int i = warp; i < num_heads * chunks; i += num_warps) {
    const int head = i / chunks, dim = 2 * ((i - head * chunks) * kWarpLanes + lane);
    function(head, dim, dim < head_dim);
  }
}

// Merges `count` partial results, kMost at most, of heads first_head .. first_head + num_heads - 1 into the
// output of `row`. All of the block's num_warps call.
template <class Cache, int kMost>
__device__ __forceinline__ void StoreHeads(const AttentionCall& call, int row, int first_head, int num_heads,
                                           const Partials& partials, int count, int num_warps) {
  const int head_dim = call.cache.head_dim;
  uint16_t* out = call.out.values + int64_t{row} * call.out.stride;
  ForDimPairs(head_dim, num_heads, num_warps, [&](int head, int dim, bool exists) {
    const int column = exists ? (first_head + head) * head_dim + dim : 0;
    float y[2] = {};
    if (exists) {
      const Merged merged = Merge<kMost>(partials, count, head, dim);
      y[0] = merged.values.x / merged.sum;
      y[1] = merged.values.y / merged.sum;
      if constexpr (Cache::kIsFp8) {
        for (float& value : y) value *= call.cache.v_scale;
      }
    }
    FormOfPair(y, column, call.form);
    if (exists) *reinterpret_cast<uint32_t*>(out + column) = PackBf16(y[0], y[1]);
  });
}

}  // namespace fourstep::cuda
