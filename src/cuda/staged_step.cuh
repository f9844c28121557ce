// Keys and values of some groups in shared memory, for a team of warps that share them.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/cache_format.cuh"
#include "cuda/shared_copy.cuh"

namespace fourstep::cuda {

// Groups that a warp takes at a time, so that its tensor core has enough to do beside one group's chain of
// sums.
constexpr int kStepGroups = 2;

// Which of the warps that share a piece of work, and how many.
struct TeamLane {
  int warp, num_warps, lane;
};

// The groups of a step as the tensor cores take them.
template <int kDims>
struct StagedStep {
  // [16, kDims]; in every second row chunks of 8 dimensions change places with their neighbours, which keeps
  // the lanes of a warp on different banks.
  alignas(16) uint16_t k[kStepGroups][kGroupTokens * kDims];
  // [kDims, 16], zero where no row of the tile looks.
  alignas(16) uint16_t v[kStepGroups][kDims * kGroupTokens];
  int first_position[kStepGroups], num_positions[kStepGroups];  // 0 positions: there is no such group

  // Begins to copy group n from a BF16 cache, of which `count` positions are there.
  __device__ __forceinline__ void Copy(int n, const uint16_t* from_k, const uint16_t* from_v, int count,
                                       const TeamLane& at) {
    // A lane's chunks of 8 values lie at the same place in each 32 of them, which are whole rows.
    constexpr int kWarpValues = 8 * kWarpLanes;
    const int swap = at.lane / (kDims / 8) % 2, num_bytes = 2 * max(0, min(8, count - at.lane % 2 * 8));
    from_k += at.lane * 8;
    from_v += at.lane * 8;
    uint16_t *to_k = k[n] + (at.lane ^ swap) * 8, *to_v = v[n] + at.lane * 8;
    for (int i = at.warp * kWarpValues; i < kGroupTokens * kDims; i += at.num_warps * kWarpValues) {
      CopyToShared<16>(to_k + i, from_k + i, 16);
      CopyToShared<16>(to_v + i, from_v + i, num_bytes);
    }
  }
};

// The same as an FP8 cache has them.
template <int kDims>
struct CodedStep {
  alignas(16) uint8_t k[kStepGroups][kGroupTokens * kDims];
  alignas(16) uint8_t v[kStepGroups][kGroupTokens * kDims];
  int first_position[kStepGroups], num_positions[kStepGroups];

  __device__ __forceinline__ void Copy(int n, const uint8_t* from_k, const uint8_t* from_v, int,
                                       const TeamLane& at) {
    constexpr int kWarpValues = 16 * kWarpLanes;
    for (int i = at.warp * kWarpValues + at.lane * 16; i < kGroupTokens * kDims;
         i += at.num_warps * kWarpValues) {
      CopyToShared<16>(k[n] + i, from_k + i, 16);
      CopyToShared<16>(v[n] + i, from_v + i, 16);
    }
  }

  __device__ __forceinline__ void Decode(StagedStep<kDims>& to, const TeamLane& at) const {
#pragma unroll
    for (int n = 0; n < kStepGroups; ++n) {
      DecodeKeys(to, n, at);
      DecodeValues(to, n, at);
      if (at.warp == 0 && at.lane == 0) {
        to.first_position[n] = first_position[n];
        to.num_positions[n] = num_positions[n];
      }
    }
  }
  // 8 codes a lane become a chunk of 8 dimensions.
  __device__ __forceinline__ void DecodeKeys(StagedStep<kDims>& to, int n, const TeamLane& at) const {
    constexpr int kRowChunks = kDims / 8;
    for (int i = at.warp * kWarpLanes + at.lane; i < kGroupTokens * kRowChunks;
         i += at.num_warps * kWarpLanes) {
      const int swap = i / kRowChunks % 2;
      reinterpret_cast<uint4*>(to.k[n])[i ^ swap] = DecodeE4M3(reinterpret_cast<const uint2*>(k[n])[i]);
    }
  }
  // 16 codes a lane become four positions of four dimensions, as LaneValues has them.
  __device__ __forceinline__ void DecodeValues(StagedStep<kDims>& to, int n, const TeamLane& at) const {
    const int g = at.lane / 4, t = at.lane % 4;
    const uint32_t mask = MaskOfFirst(num_positions[n] - 4 * t);
    for (int i = at.warp; i < kDims / 32; i += at.num_warps) {
      const uint4 codes = reinterpret_cast<const uint4*>(v[n])[i * kWarpLanes + at.lane];
      const uint4 low = DecodeE4M3({codes.x & mask, codes.y & mask}),
                  high = DecodeE4M3({codes.z & mask, codes.w & mask});
      uint16_t* out = to.v[n] + (32 * i + g) * kGroupTokens + 4 * t;
      *reinterpret_cast<uint2*>(out) = {low.x, low.y};
      *reinterpret_cast<uint2*>(out + 8 * kGroupTokens) = {low.z, low.w};
      *reinterpret_cast<uint2*>(out + 16 * kGroupTokens) = {high.x, high.y};
      *reinterpret_cast<uint2*>(out + 24 * kGroupTokens) = {high.z, high.w};
    }
  }
};

}  // namespace fourstep::cuda
