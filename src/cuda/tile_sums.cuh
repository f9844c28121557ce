// What a warp of attention has summed for a tile of queries: weights, and values times weights.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/kernel_util.cuh"
#include "cuda/partial_attention.cuh"

namespace fourstep::cuda {

constexpr int kTileQueries = 16;  // rows of an mma: heads of a row, or rows for a head
constexpr int kHalfTile = 8;      // heads that are worth sums of their own form

// Sums of a warp over the positions of some groups, for a tile of queries and kSumDims dimensions. Lane 4 g +
// t holds queries g and g + 8, of each 8 dimensions 2 t and 2 t + 1.
template <int kSumDims>
struct TileSums {
  static constexpr int kDimTiles = kSumDims / 8, kLaneQueries = 2;
  float out[kDimTiles][4] = {};
  float max[2] = {kNoScore, kNoScore}, sum[2] = {};

  // The weighted sums of query g + 8 h times `factor`.
  template <int h>
  __device__ __forceinline__ void Scale(float factor) {
#pragma unroll
    for (int tile = 0; tile < kDimTiles; ++tile) {
      out[tile][2 * h] *= factor;
      out[tile][2 * h + 1] *= factor;
    }
  }
  // Plus weights times values; `weights`: of queries g and g + 8 at positions 4 t and 4 t + 1, then the same
  // at 4 t + 2 and 4 t + 3.
  __device__ __forceinline__ void AddValues(const uint32_t (&weights)[4], const uint2 (&values)[kDimTiles]) {
#pragma unroll
    for (int tile = 0; tile < kDimTiles; ++tile) Mma(out[tile], weights, values[tile].x, values[tile].y);
  }

  // From the sums of weights of a lane's own positions to those of all.
  __device__ __forceinline__ void AddLanes() {
    for (float& s : sum) {
      s += __shfl_xor_sync(kAllLanes, s, 1);
      s += __shfl_xor_sync(kAllLanes, s, 2);
    }
  }
  // Those of later groups.
  __device__ __forceinline__ void Add(const TileSums& next) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const Fold fold(max[h], next.max[h]);
      sum[h] = fold(sum[h], next.sum[h]);
#pragma unroll
      for (int tile = 0; tile < kDimTiles; ++tile) {
        out[tile][2 * h] = fold(out[tile][2 * h], next.out[tile][2 * h]);
        out[tile][2 * h + 1] = fold(out[tile][2 * h + 1], next.out[tile][2 * h + 1]);
      }
    }
  }
  // As partial results [queries][stride], from dimension `first_dim` on.
  __device__ __forceinline__ void Store(float* to, int stride, int num_queries, int first_dim,
                                        int lane) const {
    const int g = lane / 4, t = lane % 4;
    for (int h = 0; h < 2; ++h) {
      if (g + 8 * h >= num_queries) continue;
      float* mine = to + (g + 8 * h) * stride;
      if (t == 0 && first_dim == 0) *reinterpret_cast<float2*>(mine) = make_float2(max[h], sum[h]);
      for (int tile = 0; tile < kDimTiles; ++tile) {
        *reinterpret_cast<float2*>(mine + kPartialHeader + first_dim + 8 * tile + 2 * t) =
            make_float2(out[tile][2 * h], out[tile][2 * h + 1]);
      }
    }
  }
  // To what Store has stored of all queries and dimensions, as those of later groups.
  __device__ __forceinline__ void AddTo(float* to, int stride, int lane) const {
    const int g = lane / 4, t = lane % 4;
    for (int h = 0; h < 2; ++h) {
      float* mine = to + (g + 8 * h) * stride;
      float2 header = *reinterpret_cast<const float2*>(mine);
      const Fold fold(header.x, max[h]);
      header.y = fold(header.y, sum[h]);
      for (int tile = 0; tile < kDimTiles; ++tile) {
        float2* values = reinterpret_cast<float2*>(mine + kPartialHeader + 8 * tile + 2 * t);
        *values = make_float2(fold(values->x, out[tile][2 * h]), fold(values->y, out[tile][2 * h + 1]));
      }
      __syncwarp();  // all lanes have read the header
      if (t == 0) *reinterpret_cast<float2*>(mine) = header;
    }
  }
};

// The same for up to kHalfTile queries, with values as the rows of an mma and queries as its columns: half of
// the products, with the same bits. Lane 4 g + t has the maximum and the sum of query g, and of each 16
// dimensions g and g + 8 of queries 2 t and 2 t + 1.
template <int kSumDims>
struct HalfTileSums {
  static constexpr int kDimTiles = kSumDims / 8, kLaneQueries = 1;
  float out[kDimTiles / 2][4] = {};
  float max[1] = {kNoScore}, sum[1] = {};

  template <int>
  __device__ __forceinline__ void Scale(float factor) {
    const int t = LaneIndex() % 4;
    const float even = __shfl_sync(kAllLanes, factor, 8 * t), odd = __shfl_sync(kAllLanes, factor, 8 * t + 4);
#pragma unroll
    for (auto& sums : out) {
      sums[0] *= even;
      sums[1] *= odd;
      sums[2] *= even;
      sums[3] *= odd;
    }
  }
  __device__ __forceinline__ void AddValues(const uint32_t (&weights)[2], const uint2 (&values)[kDimTiles]) {
#pragma unroll
    for (int i = 0; i < kDimTiles / 2; ++i) {
      const uint2 &low = values[2 * i], &high = values[2 * i + 1];
      Mma(out[i], {low.x, high.x, low.y, high.y}, weights[0], weights[1]);
    }
  }
  __device__ __forceinline__ void AddLanes() {
    sum[0] += __shfl_xor_sync(kAllLanes, sum[0], 1);
    sum[0] += __shfl_xor_sync(kAllLanes, sum[0], 2);
  }
  __device__ __forceinline__ void Store(float* to, int stride, int num_queries, int first_dim,
                                        int lane) const {
    const int g = lane / 4, t = lane % 4;
    if (t == 0 && first_dim == 0 && g < num_queries)
      *reinterpret_cast<float2*>(to + g * stride) = make_float2(max[0], sum[0]);
    for (int j = 0; j < 2; ++j) {
      if (2 * t + j >= num_queries) continue;
      float* mine = to + (2 * t + j) * stride + kPartialHeader + first_dim + g;
      for (int i = 0; i < kDimTiles / 2; ++i) {
        mine[16 * i] = out[i][j];
        mine[16 * i + 8] = out[i][2 + j];
      }
    }
  }
};

}  // namespace fourstep::cuda
