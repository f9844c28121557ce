// What the q and k heads of a row need before attention, and where its key and value go: RMSNorm, RoPE and
// appending, of one warp.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/cache_format.cuh"
#include "cuda/kernel_util.cuh"

namespace fourstep::cuda {

// Where a row's key or value of one head lies.
struct CachePlace {
  int64_t block_head;  // index of (block, kv head)
  int group, offset;   // within the block; within the group
};
__device__ __forceinline__ CachePlace PlaceOf(const CacheView& c, const StepView& step, int slot,
                                              int position, int kv_head) {
  const int block = step.block_tables[int64_t{slot} * step.max_blocks + position / c.block_tokens];
  const int in_block = position % c.block_tokens;
  return {int64_t{block} * c.num_kv_heads + kv_head, in_block / kGroupTokens, in_block % kGroupTokens};
}
template <class Cache>
__device__ __forceinline__ typename Cache::Value* KeyAt(const CacheView& c, const CachePlace& at) {
  return KeysOf<Cache>(c) +
         (at.block_head * c.groups_per_block * kGroupTokens + at.group * kGroupTokens + at.offset) *
             c.padded_dim;
}
// x [head_dim] BF16.
template <class Cache>
__device__ __forceinline__ void AppendValue(const CacheView& c, const CachePlace& at, const uint16_t* x,
                                            int lane) {
  typename Cache::Value* v =
      ValuesOf<Cache>(c) + (at.block_head * c.groups_per_block + at.group) * c.padded_dim * kGroupTokens;
  for (int i = lane; i < c.head_dim; i += kWarpLanes)
    v[Cache::ValueIndex(i, at.offset)] = Cache::FromBf16(x[i], c.v_scale);
}

// Dimensions i and i + head_dim / 2 of a lane, for i = lane, lane + 32, ...: all that it rotates. kDims:
// head_dim, padded.
template <int kDims>
struct DimPairs {
  static constexpr int kCount = kDims / 2 / kWarpLanes;
  float first[kCount], second[kCount];
};

// By how much a position rotates.
template <int kDims>
struct Rotation {
  DimPairs<kDims> turn;  // first: cosine, second: sine

  __device__ __forceinline__ Rotation(const CacheView& c, int position, int lane) {
#pragma unroll
    for (int j = 0; j < DimPairs<kDims>::kCount; ++j) {
      const int i = lane + j * kWarpLanes;
      const float angle = static_cast<float>(position) * (i < c.head_dim / 2 ? c.inv_freq[i] : 0.0f);
      sincosf(angle, &turn.second[j], &turn.first[j]);
      turn.first[j] *= c.rope_factor;
      turn.second[j] *= c.rope_factor;
    }
  }
};

// The weights of a norm [head_dim], or null: none.
template <int kDims>
struct HeadWeights {
  DimPairs<kDims> weight;
  bool has_norm;

  __device__ __forceinline__ HeadWeights(const CacheView& c, const float* norm, int lane)
      : has_norm(norm != nullptr) {
    const int half = c.head_dim / 2;
#pragma unroll
    for (int j = 0; j < DimPairs<kDims>::kCount; ++j) {
      const int i = lane + j * kWarpLanes;
      const bool exists = has_norm && i < half;
      weight.first[j] = exists ? norm[i] : 1.0f;
      weight.second[j] = exists ? norm[half + i] : 1.0f;
    }
  }
};

// Norm and RoPE of the head at `x`; store(i, value) gets what dimension i becomes, not yet rounded. A lane
// stores no dimension before it has read it, so x may be where it stores to.
template <int kDims, class Store>
__device__ __forceinline__ void NormAndRotate(const CacheView& c, const uint16_t* x,
                                              const HeadWeights<kDims>& norm, float epsilon,
                                              const Rotation<kDims>& rotation, int lane, const Store& store) {
  constexpr int kCount = DimPairs<kDims>::kCount;
  const int half = c.head_dim / 2;
  DimPairs<kDims> values;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const int i = lane + j * kWarpLanes;
    values.first[j] = i < half ? BFloat16::Decode({x[i]}) : 0.0f;
    values.second[j] = i < half ? BFloat16::Decode({x[half + i]}) : 0.0f;
  }
  if (norm.has_norm) {
    float sum = 0;
#pragma unroll
    for (const float v : values.first) sum = fmaf(v, v, sum);
#pragma unroll
    for (const float v : values.second) sum = fmaf(v, v, sum);
    const float factor = 1.0f / sqrtf(WarpSum(sum) / static_cast<float>(c.head_dim) + epsilon);
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      values.first[j] = values.first[j] * factor * norm.weight.first[j];
      values.second[j] = values.second[j] * factor * norm.weight.second[j];
    }
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const int i = lane + j * kWarpLanes;
    if (i >= half) break;
    const float cosine = rotation.turn.first[j], sine = rotation.turn.second[j];
    store(i, values.first[j] * cosine - values.second[j] * sine);
    store(half + i, values.second[j] * cosine + values.first[j] * sine);
  }
}

}  // namespace fourstep::cuda
