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
// `block`: of the cache, that has the position.
__device__ __forceinline__ CachePlace PlaceOf(const CacheView& c, int block, int position, int kv_head) {
  const int in_block = position % c.block_tokens;
  return {int64_t{block} * c.num_kv_heads + kv_head, in_block / kGroupTokens, in_block % kGroupTokens};
}
// The key of one position [padded_dim], and dimension 0 of its value (Cache::ValueIndex).
template <class Cache>
__device__ __forceinline__ typename Cache::Value* KeyAt(const CacheView& c, const CachePlace& at) {
  return KeysOf<Cache>(c) +
         (at.block_head * c.groups_per_block * kGroupTokens + at.group * kGroupTokens + at.offset) *
             c.padded_dim;
}
template <class Cache>
__device__ __forceinline__ typename Cache::Value* ValueAt(const CacheView& c, const CachePlace& at) {
  return ValuesOf<Cache>(c) + (at.block_head * c.groups_per_block + at.group) * c.padded_dim * kGroupTokens;
}

// Dimensions i and i + head_dim / 2 of a lane, for i = lane, lane + 32, ...: all that it rotates. kDims:
// head_dim, padded.
template <int kDims>
struct DimPairs {
  static constexpr int kCount = kDims / 2 / kWarpLanes;
  float first[kCount], second[kCount];
};

// A head as the linear left it [head_dim] BF16, of which a lane has its pairs.
template <int kDims>
struct HeadBits {
  static constexpr int kCount = DimPairs<kDims>::kCount;
  uint16_t first[kCount], second[kCount];

  __device__ __forceinline__ HeadBits(const CacheView& c, const uint16_t* x, int lane) {
    const int half = c.head_dim / 2;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const int i = lane + j * kWarpLanes;
      first[j] = i < half ? x[i] : uint16_t{0};
      second[j] = i < half ? x[half + i] : uint16_t{0};
    }
  }
};

// store(i, value) gets dimension i of a value as the cache has it.
template <class Cache, int kDims, class Store>
__device__ __forceinline__ void EncodeValue(const CacheView& c, const HeadBits<kDims>& bits, int lane,
                                            const Store& store) {
  const int half = c.head_dim / 2;
#pragma unroll
  for (int j = 0; j < DimPairs<kDims>::kCount; ++j) {
    const int i = lane + j * kWarpLanes;
    if (i >= half) break;
    store(i, Cache::FromBf16(bits.first[j], c.v_scale));
    store(half + i, Cache::FromBf16(bits.second[j], c.v_scale));
  }
}

// By how much a row's position rotates (StepView::turns).
template <int kDims>
struct Rotation {
  DimPairs<kDims> turn;  // first: cosine, second: sine

  __device__ __forceinline__ Rotation(const CacheView& c, const StepView& step, int row, int lane) {
    const int half = c.head_dim / 2;
    const float2* turns = step.turns + int64_t{row} * half;
#pragma unroll
    for (int j = 0; j < DimPairs<kDims>::kCount; ++j) {
      const int i = lane + j * kWarpLanes;
      const float2 of_pair = i < half ? turns[i] : float2{};
      turn.first[j] = of_pair.x;
      turn.second[j] = of_pair.y;
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

// Norm and RoPE of a head; store(i, value) gets what dimension i becomes, not yet rounded.
template <int kDims, class Store>
__device__ __forceinline__ void NormAndRotate(const CacheView& c, const HeadBits<kDims>& bits,
                                              const HeadWeights<kDims>& norm, float epsilon,
                                              const Rotation<kDims>& rotation, int lane, const Store& store) {
  constexpr int kCount = DimPairs<kDims>::kCount;
  const int half = c.head_dim / 2;
  DimPairs<kDims> values;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    values.first[j] = BFloat16::Decode({bits.first[j]});
    values.second[j] = BFloat16::Decode({bits.second[j]});
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
