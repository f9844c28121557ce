// How a linear is shared out among the blocks and warps of a kernel.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "cuda/kernel_util.cuh"
#include "cuda/linear.h"
#include "cuda/weight_stream.h"

namespace fourstep::cuda {

// Of a block: the workers, which multiply, and a warp that fetches weights for them.
constexpr int kWorkers = kWarps * kWarpLanes, kThreads = kWorkers + kWarpLanes;

// As __syncthreads, for the workers alone.
__device__ __forceinline__ void SyncWorkers() {
  asm volatile("bar.sync 0, %0;" ::"n"(kWorkers) : "memory");
}

constexpr int kTokens = 8;  // columns of an mma: rows of the batch

// How a block takes a linear.
struct Plan {
  LinearCall call;
  int32_t num_slices, slice_units;
  int32_t log_pairs;  // of the tokens of a tile whose sums leave the registers, pairs: 1 << log_pairs

  __device__ Run RunOf(int slice, int warp) const {
    return cuda::RunOf(call.linear.num_units, slice_units, slice, warp);
  }
  __device__ int StagesOf(int slice, int stage_units) const {
    return cuda::StagesOf(call.linear.num_units, slice_units, slice, stage_units);
  }
  __device__ int PlaceInStage(int slice, int warp, int stage_units) const {
    return cuda::PlaceInStage(call.linear.num_units, slice_units, slice, warp, stage_units);
  }
};

// Rows of the batch that a block takes.
struct BlockRows {
  int first, count;
};

}  // namespace fourstep::cuda
