// Attention of one warp over groups of positions, on the tensor cores.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/attention.h"
#include "cuda/kernel_util.cuh"
#include "cuda/lane_cache.cuh"
#include "cuda/partial_attention.cuh"
#include "cuda/shared_copy.cuh"
#include "cuda/tile_sums.cuh"

namespace fourstep::cuda {

// A tile of queries in shared memory: [queries][kQueryStride] BF16, zero from head_dim to kDims; the stride
// keeps the lanes of a warp on different banks.
template <int kDims>
constexpr int kQueryStride = kDims + 8;

// Begins to copy the query of a head, by one warp: to[0, kDims). head_dim may be any even number.
template <int kDims>
__device__ __forceinline__ void CopyQuery(const CacheView& c, const uint16_t* from, uint16_t* to, int lane) {
  for (int i = 2 * lane; i < kDims; i += 2 * kWarpLanes)
    CopyToShared<4>(to + i, from + (i < c.head_dim ? i : 0), i < c.head_dim ? 4 : 0);
}

// What a lane multiplies, read when it is needed: queries g and g + 8 of `num`, kQueries at most, dimensions
// 64 (i / 2) + 16 t + 8 (i % 2) on.
template <int kDims, int kQueries = kTileQueries>
class SharedQueries {
 public:
  __device__ SharedQueries(const uint16_t* q, int num, int lane)
      : has_high_(kQueries > kHalfTile && num > kHalfTile) {
    const int g = lane / 4, t = lane % 4;
    low_ = q + min(g, num - 1) * kQueryStride<kDims> + 16 * t;
    high_ = q + min(g + 8, num - 1) * kQueryStride<kDims> + 16 * t;
  }
  __device__ uint4 Low(int i) const { return *reinterpret_cast<const uint4*>(low_ + i / 2 * 64 + i % 2 * 8); }
  __device__ uint4 High(int i) const {
    return has_high_ ? *reinterpret_cast<const uint4*>(high_ + i / 2 * 64 + i % 2 * 8) : uint4{};
  }

 private:
  const uint16_t *low_, *high_;
  bool has_high_;
};

// The same, held in registers.
template <int kDims>
class HeldQueries {
 public:
  __device__ explicit HeldQueries(const SharedQueries<kDims>& q) {
#pragma unroll
    for (int i = 0; i < kDims / 32; ++i) {
      low_[i] = q.Low(i);
      high_[i] = q.High(i);
    }
  }
  __device__ const uint4& Low(int i) const {
    return low_[i];
  }
  __device__ const uint4& High(int i) const {
    return high_[i];
  }

 private:
  uint4 low_[kDims / 32], high_[kDims / 32];
};

// Online softmax of one warp over its groups, kGroups at a time, for a tile of up to kQueries queries. kDims
// = padded_dim; kSumDims: of them, those that it sums; neighbouring warps may share the dimensions. It holds
// the keys of kGroups groups and the values of kValueGroups.
//
// LoadKeys of each group, Score; then in order, for each: Weigh, LoadValues, Add. What Score and Add have
// used may be loaded anew for later groups. Column g of score tile j is the position of LaneKeys' row j, so
// that a lane's scores are of positions 4 t .. 4 t + 3, of which it has the values.
template <class Cache, int kDims, int kSumDims, int kGroups, int kValueGroups = 1,
          int kQueries = kTileQueries>
class WarpAttention {
 public:
  using Value = typename Cache::Value;
  using Sums = std::conditional_t<(kQueries > kHalfTile), TileSums<kSumDims>, HalfTileSums<kSumDims>>;
  static constexpr int kChunks = kDims / 64, kDimTiles = Sums::kDimTiles, kLaneQueries = Sums::kLaneQueries;
  Sums sums;  // of weights: of this lane's positions only

  __device__ explicit WarpAttention(int lane) : lane_(lane) {}
  // Of those that this warp sums.
  __device__ static int first_dim() { return WarpIndex() % (kDims / kSumDims) * kSumDims; }

  // k [16, kDims]. With kSwaps, each two chunks of 8 dimensions of every second row have changed places.
  template <bool kSwaps = false>
  __device__ __forceinline__ void LoadKeys(const Value* k, int group = 0) {
    keys_[group].template Load<kSwaps>(k, lane_);
  }
  // v [kDims, 16].
  __device__ __forceinline__ void LoadValues(const Value* v, int group = 0) {
    values_[group].Load(v, first_dim(), lane_);
  }
  // What was never written must not count, not even as 0 times NaN: zero from position num_valid on.
  __device__ __forceinline__ void MaskValues(int num_valid, int group = 0) {
    values_[group].Mask(num_valid, lane_);
  }
  // A position that was loaded before it was written: k, v [kDims], as in the cache and by dimension.
  __device__ __forceinline__ void Replace(int position, const Value* k, const Value* v, int group) {
    keys_[group].Replace(position, k, lane_);
    values_[group].Replace(position, v, first_dim(), lane_);
  }

  template <class Queries>
  __device__ __forceinline__ void Score(const Queries& queries) {
#pragma unroll
    for (auto& of_group : scores_) {
#pragma unroll
      for (auto& tile : of_group) tile[0] = tile[1] = tile[2] = tile[3] = 0;
    }
#pragma unroll
    for (int i = 0; i < 2 * kChunks; ++i) {  // two steps each
      const uint4 a = queries.Low(i), b = queries.High(i);
      uint4 keys[2 * kGroups];
#pragma unroll
      for (int j = 0; j < 2 * kGroups; ++j) keys[j] = keys_[j / 2].At(j % 2, i);
#pragma unroll
      for (int j = 0; j < 2 * kGroups; ++j)
        Mma(scores_[j / 2][j % 2], {a.x, b.x, a.y, b.y}, keys[j].x, keys[j].y);
#pragma unroll
      for (int j = 0; j < 2 * kGroups; ++j)
        Mma(scores_[j / 2][j % 2], {a.z, b.z, a.w, b.w}, keys[j].z, keys[j].w);
    }
  }
  // From a group's scores to weights; for queries g and g + 8, positions from low_valid and high_valid on do
  // not count. Where none does, the sums stay as they are. `scale` includes log2 e.
  __device__ __forceinline__ void Weigh(int low_valid, int high_valid, float scale, int group = 0) {
    WeighQuery<0>(scores_[group], low_valid, scale);
    if constexpr (kLaneQueries > 1) WeighQuery<1>(scores_[group], high_valid, scale);
  }
  __device__ __forceinline__ void Add(int group = 0) {
    uint2 values[kDimTiles];
    values_[group].Get(values);
#pragma unroll
    for (const auto& part : parts_) sums.AddValues(part, values);
  }

 private:
  // Query g + 8 h: weights in three parts, and the sums so far to the new maximum. Roundings are spelled out,
  // as in Fold.
  template <int h>
  __device__ __forceinline__ void WeighQuery(const float (&scores)[2][4], int num_valid, float scale) {
    const int t = lane_ % 4;
    float s[4];  // of positions 4 t + i
    for (int i = 0; i < 4; ++i)
      s[i] = 4 * t + i < num_valid ? __fmul_rn(scores[i / 2][2 * h + i % 2], scale) : -INFINITY;
    float top = fmaxf(fmaxf(s[0], s[1]), fmaxf(s[2], s[3]));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
    top = fmaxf(top, sums.max[h]);
    const float shrink = Exp2(sums.max[h] - top);
    sums.max[h] = top;
    float weights[4];
    for (int i = 0; i < 4; ++i) weights[i] = Exp2(s[i] - top);
    sums.sum[h] = __fmaf_rn(sums.sum[h], shrink, (weights[0] + weights[1]) + (weights[2] + weights[3]));
    sums.template Scale<h>(shrink);
    for (int i = 0; i < 2; ++i) {
      float first = weights[2 * i], second = weights[2 * i + 1];
      for (auto& part : parts_) {
        uint32_t& pair = part[kLaneQueries * i + h];
        pair = PackBf16(first, second);
        first -= Bf16Low(pair);
        second -= Bf16High(pair);
      }
    }
  }

  int lane_;
  LaneKeys<Cache, kDims> keys_[kGroups];
  LaneValues<Cache, kSumDims> values_[kValueGroups];
  float scores_[kGroups][2][4];          // columns 4 (g / 2) + 2 j + g % 2
  uint32_t parts_[3][2 * kLaneQueries];  // of the weights: three BF16 carry all 24 bits of them
};

}  // namespace fourstep::cuda
