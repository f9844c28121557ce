// Attention of one warp over groups of positions, on the tensor cores.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/kernel_util.cuh"

namespace fourstep::cuda {

constexpr int kTileHeads = 16;  // rows of an mma

// q of a tile of heads in shared memory: [heads][kQueryStride] BF16, zero from head_dim to kDims; the stride
// keeps the lanes of a warp on different banks.
template <int kDims>
constexpr int kQueryStride = kDims + 8;

// Online softmax of one warp over its groups, of which it sums half of the dimensions: 16 heads of one row,
// kDims = padded_dim. Lane 4 g + t holds heads g and g + 8.
//
// For each group: LoadKeys, LoadValues, Score, Weigh, Add. What Score and Add have used may be loaded anew
// for the next group.
template <int kDims>
class WarpAttention {
 public:
  static constexpr int kChunks = kDims / 64, kDimTiles = kDims / 16;
  float out[kDimTiles][4] = {};
  float max[2] = {-INFINITY, -INFINITY}, sum[2] = {};  // sum: of this lane's positions only

  // `half`: of the dimensions.
  __device__ WarpAttention(int half, int lane) : half_(half), lane_(lane) {}

  // k [16, kDims].
  __device__ __forceinline__ void LoadKeys(const uint16_t* k) {
    // Column g of score tile j is position 4 (g / 2) + 2 j + g % 2, so that a lane's scores are of positions
    // 4 t .. 4 t + 3, which lie together in v.
    const int g = lane_ / 4, t = lane_ % 4;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const uint16_t* row = k + (g / 2 * 4 + 2 * j + g % 2) * kDims + 16 * t;
#pragma unroll
      for (int i = 0; i < 2 * kChunks; ++i)
        keys_[j][i] = *reinterpret_cast<const uint4*>(row + i / 2 * 64 + i % 2 * 8);
    }
  }
  // v [kDims, 16].
  __device__ __forceinline__ void LoadValues(const uint16_t* v) {
    const int g = lane_ / 4, t = lane_ % 4;
    const uint16_t* mine = v + (half_ * (kDims / 2) + g) * kGroupTokens + 4 * t;
#pragma unroll
    for (int tile = 0; tile < kDimTiles; ++tile)
      values_[tile] = *reinterpret_cast<const uint2*>(mine + 8 * tile * kGroupTokens);
  }

  __device__ __forceinline__ void Score(const uint16_t* q, int num_heads) {
    const int g = lane_ / 4, t = lane_ % 4;
    const uint16_t* low = q + min(g, num_heads - 1) * kQueryStride<kDims> + 16 * t;
    const uint16_t* high = q + min(g + 8, num_heads - 1) * kQueryStride<kDims> + 16 * t;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
#pragma unroll
      for (float& s : scores_[j]) s = 0;
    }
#pragma unroll
    for (int i = 0; i < 2 * kChunks; ++i) {  // two steps each: dimensions 64 c + 16 t + 8 (i % 2) on
      const int at = i / 2 * 64 + i % 2 * 8;
      const uint4 a = *reinterpret_cast<const uint4*>(low + at);
      uint4 b{};
      if (num_heads > 8) b = *reinterpret_cast<const uint4*>(high + at);
#pragma unroll
      for (int j = 0; j < 2; ++j) Mma(scores_[j], {a.x, b.x, a.y, b.y}, keys_[j][i].x, keys_[j][i].y);
#pragma unroll
      for (int j = 0; j < 2; ++j) Mma(scores_[j], {a.z, b.z, a.w, b.w}, keys_[j][i].z, keys_[j][i].w);
    }
  }
  // From scores to weights; positions from num_valid on do not count. `scale` includes log2 e.
  __device__ __forceinline__ void Weigh(int num_valid, float scale) {
    for (int h = 0; h < 2; ++h) WeighHeads(num_valid, scale, h);
  }
  __device__ __forceinline__ void Add(int num_valid) {
    const int rest = num_valid - 4 * (lane_ % 4);  // of this lane's four positions
    const uint32_t mask0 = rest >= 2 ? ~0u : rest == 1 ? 0xFFFFu : 0u;
    const uint32_t mask1 = rest >= 4 ? ~0u : rest == 3 ? 0xFFFFu : 0u;
#pragma unroll
    for (int tile = 0; tile < kDimTiles; ++tile) {
      // What was never written must not count, not even as 0 times NaN.
      for (const auto& part : parts_) Mma(out[tile], part, values_[tile].x & mask0, values_[tile].y & mask1);
    }
  }

 private:
  // Heads g + 8 h: weights in three parts, and the sums so far to the new maximum.
  __device__ __forceinline__ void WeighHeads(int num_valid, float scale, int h) {
    const int t = lane_ % 4;
    float s[4];  // of positions 4 t + i
    for (int i = 0; i < 4; ++i)
      s[i] = 4 * t + i < num_valid ? scores_[i / 2][2 * h + i % 2] * scale : -INFINITY;
    float top = fmaxf(fmaxf(s[0], s[1]), fmaxf(s[2], s[3]));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
    top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
    top = fmaxf(top, max[h]);
    const float shrink = exp2f(max[h] - top);
    max[h] = top;
    float weights[4];
    for (int i = 0; i < 4; ++i) weights[i] = exp2f(s[i] - top);
    sum[h] = sum[h] * shrink + ((weights[0] + weights[1]) + (weights[2] + weights[3]));
    for (int tile = 0; tile < kDimTiles; ++tile) {
      out[tile][2 * h] *= shrink;
      out[tile][2 * h + 1] *= shrink;
    }
    for (int i = 0; i < 2; ++i) {
      float first = weights[2 * i], second = weights[2 * i + 1];
      for (auto& part : parts_) {
        part[2 * i + h] = PackBf16(first, second);
        first -= Bf16Low(part[2 * i + h]);
        second -= Bf16High(part[2 * i + h]);
      }
    }
  }

  int half_, lane_;
  uint4 keys_[2][2 * kChunks];  // this lane's parts of its rows of k
  uint2 values_[kDimTiles];
  float scores_[2][4];    // columns 4 (g / 2) + 2 j + g % 2
  uint32_t parts_[3][4];  // of the weights: three BF16 carry all 24 bits of them
};

}  // namespace fourstep::cuda
