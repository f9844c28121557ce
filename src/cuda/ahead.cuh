// The part of one of num_blocks blocks in bringing what comes next to the L2 cache: one warp, all lanes.
#pragma once

#include "cuda/ahead.h"
#include "cuda/kernel_util.cuh"

namespace fourstep::cuda {

// By one lane; `bytes` is a multiple of 16.
__device__ __forceinline__ void BringToL2(const uint8_t* from, int bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
#else
  constexpr int kLine = 128;
  for (int at = 0; at < bytes; at += kLine)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(from + at) : "memory");
#endif
}

__device__ __forceinline__ void BringToL2(const WeightsAhead& ahead, int block, int num_blocks) {
  constexpr int kLine = 128;
  const int lanes = num_blocks * kWarpLanes,
            each = (ahead.bytes + lanes * kLine - 1) / (lanes * kLine) * kLine,
            begin = (block * kWarpLanes + LaneIndex()) * each, bytes = min(each, ahead.bytes - begin);
  if (bytes > 0) BringToL2(ahead.units + begin, bytes);
}

__device__ __forceinline__ void BringToL2(const CacheAhead& ahead, int block, int num_blocks) {
  static_assert(kAheadLanes == kWarpLanes);
  if (ahead.k == nullptr) return;
  ForEachPiece(ahead, block, num_blocks, LaneIndex(),
               [](const uint8_t* piece) { BringToL2(piece, kCachePieceBytes); });
}

}  // namespace fourstep::cuda
