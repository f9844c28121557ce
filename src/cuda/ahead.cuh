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

// Blocks take turns at the rows. What positions and tables say was there before the step.
__device__ __forceinline__ void BringToL2(const CacheAhead& ahead, int block, int num_blocks) {
  if (ahead.k == nullptr) return;
  const int row = block % ahead.num_rows,
            lanes = (num_blocks - row + ahead.num_rows - 1) / ahead.num_rows * kWarpLanes;
  const int count = ahead.step.positions[row] / ahead.block_tokens + 1, half = ahead.block_pieces / 2;
  const int32_t* table = ahead.step.block_tables + int64_t{ahead.step.slots[row]} * ahead.step.max_blocks;
  for (int i = block / ahead.num_rows * kWarpLanes + LaneIndex(); i < count * ahead.block_pieces;
       i += lanes) {
    const int of_row = i / ahead.block_pieces, piece = i - of_row * ahead.block_pieces;
    const uint8_t* from = piece < half ? ahead.k : ahead.v;
    const int in_block = (piece < half ? piece : piece - half) * kCachePieceBytes;
    BringToL2(from + int64_t{table[of_row]} * ahead.block_bytes + in_block, kCachePieceBytes);
  }
}

}  // namespace fourstep::cuda
