// How a linear is shared out among warps, and its inputs in shared memory.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/linear.h"
#include "cuda/weight_stream.h"
#include "cuda/weight_units.cuh"

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
  int32_t held_units;  // of the rows in shared memory at a time: those of a slice, or all where they fit
  int32_t log_tokens;  // rows held in shared memory a token tile: 1 << log_tokens

  // Of the tokens of a tile whose sums leave the registers, pairs: 1 << log_pairs().
  FOURSTEP_HD int log_pairs() const { return log_tokens > 0 ? log_tokens - 1 : 0; }
};

// Of the rows that a block holds in shared memory.
constexpr int RowsBytes(int held_units, int tokens) {
  return held_units * kUnitInputs * tokens * 2;
}

// A plan without rows: how the inputs are sliced, which depends on the matrix alone.
inline Plan PlanOf(const LinearCall& call) {
  const LinearView& v = call.linear;
  FOURSTEP_CUDA_REQUIRE(call.x_stride == v.num_units * kUnitInputs);
  FOURSTEP_CUDA_REQUIRE(call.epilogue != Epilogue::kGated || v.pair_outputs > 0);
  Plan p{};
  p.call = call;
  const Slices slices = SlicesOf(v.num_units);
  p.num_slices = slices.count;
  p.slice_units = slices.units;
  p.held_units = p.slice_units;
  return p;
}

// `held_rows` of the batch in shared memory; of a sliced matrix all units, where much room is left for the
// rings.
inline void ShareRows(Plan& p, int held_rows) {
  constexpr int kMostHeldBytes = 64 << 10;
  p.log_tokens = held_rows > 4 ? 3 : held_rows > 2 ? 2 : held_rows - 1;
  if (p.num_slices > 1 && RowsBytes(p.call.linear.num_units, 1 << p.log_tokens) <= kMostHeldBytes)
    p.held_units = p.call.linear.num_units;
}

// Rows of the batch that a block takes.
struct BlockRows {
  int first, count;
};

__device__ __forceinline__ Run RunOf(const Plan& p, int slice, int warp) {
  return RunOf(p.call.linear.num_units, p.slice_units, slice, warp);
}

// Where 16 bytes (eight inputs) of a row stand in shared memory: in the order in which lanes load them.
template <int kTokenTiles>
__device__ __forceinline__ int RowPlace(int unit, int token_tile, int half, int g, int t, int log_tokens) {
  if constexpr (kTokenTiles == 1) return ((((unit * 2 + half) << log_tokens) + g) * 4) + t;
  return (((unit * kTokenTiles + token_tile) * 2 + half) * kTokens + g) * 4 + t;
}

// Units `first` and on. Several loads of a thread are in flight at a time: one after the other they would
// cost a microsecond a row.
template <int kTokenTiles>
__device__ void LoadRows(const Plan& p, const BlockRows& mine, int first, uint4* rows) {
  constexpr int kInFlight = kTokenTiles == 1 ? 4 : 8;
  const int chunks = min(p.held_units, p.call.linear.num_units - first) * (kUnitInputs / 8);
  const int row_chunks = p.call.x_stride / 8, total = chunks * mine.count;
  const auto* from =
      reinterpret_cast<const uint4*>(p.call.x) + int64_t{mine.first} * row_chunks + first * (kUnitInputs / 8);
  for (int begin = static_cast<int>(threadIdx.x); begin < total; begin += kInFlight * kWorkers) {
    uint4 loaded[kInFlight];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      const int i = begin + j * kWorkers;
      if (i < total) loaded[j] = from[int64_t{i / chunks} * row_chunks + i % chunks];
    }
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      const int i = begin + j * kWorkers, row = i / chunks, chunk = i % chunks;
      if (i < total)
        rows[RowPlace<kTokenTiles>(chunk / 8, row / kTokens, chunk % 2, row % kTokens, chunk % 8 / 2,
                                   p.log_tokens)] = loaded[j];
    }
  }
}

// Where a lane finds its inputs: 16 bytes for each half of a unit, at token tile 0. Lanes of rows that do not
// exist read the same zeros again and again.
struct Inputs {
  const uint4* at;
  int half_step;  // in 16 bytes
};
template <int kTokenTiles>
__device__ __forceinline__ Inputs InputsOf(const Plan& p, int num_rows, const uint4* rows, const uint4* zeros,
                                           int tile, int lane) {
  if (tile * kTokens + lane / 4 >= num_rows) return {zeros, 0};
  return {rows + RowPlace<kTokenTiles>(0, tile, 0, lane / 4, lane % 4, p.log_tokens),
          kTokenTiles == 1 ? 4 << p.log_tokens : 4 * kTokens};
}

// Adds one unit of a tile to the sums of all token tiles. `unit` counts from the first one held.
template <class Unit, int kTokenTiles>
__device__ __forceinline__ void MultiplyUnit(const uint8_t* weights, const Inputs (&inputs)[kTokenTiles],
                                             int unit, int lane, float (&sums)[kTokenTiles][4]) {
  const Unit w(weights, lane);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint32_t a0[4], a1[4];
    w.Load(2 * half, a0);
    w.Load(2 * half + 1, a1);
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      const int step = unit * 2 * kTokenTiles + half;
      const uint4 b = inputs[tile].at[step * inputs[tile].half_step];
      Mma(sums[tile], a0, b.x, b.y);
      Mma(sums[tile], a1, b.z, b.w);
    }
  }
}

}  // namespace fourstep::cuda
