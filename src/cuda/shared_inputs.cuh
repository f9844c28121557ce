// Inputs of several token tiles in shared memory, for more rows than registers hold but too few for
// GemmKernel: all units of a linear whose inputs are not sliced.
#pragma once

#include <cstdint>

#include "cuda/linear_plan.cuh"

namespace fourstep::cuda {

template <class UnitType, int kNumTokenTiles>
class SharedInputs {
 public:
  using Unit = UnitType;
  static constexpr int kTokenTiles = kNumTokenTiles, kStageUnits = Unit::kStageUnits;

  // In shared memory: the rows, then 16 bytes of zeros.
  __host__ __device__ static constexpr int Bytes(int num_units) {
    return num_units * kUnitInputs * kTokenTiles * kTokens * 2 + static_cast<int>(sizeof(uint4));
  }

  // The workers of the block call.
  __device__ SharedInputs(const Plan& p, const BlockRows& mine, uint4* memory)
      : run_(p.RunOf(0, WarpIndex())),
        stages_(p.StagesOf(0, kStageUnits)),
        place_(p.PlaceInStage(0, WarpIndex(), kStageUnits) * Unit::kBytes) {
    uint4* zeros = memory + p.call.linear.num_units * 2 * kTokenTiles * kTokens * 4;
    if (threadIdx.x == 0) *zeros = uint4{};
    LoadRows(p, mine, memory);
    SyncWorkers();
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile)
      at_[tile] = tile * kTokens + g < mine.count ? From{memory + Place(0, tile, 0, g, t), 4 * kTokens}
                                                  : From{zeros, 0};
  }

  // Adds the tiles of a group to `sums`.
  template <int kTiles, class Ring>
  __device__ __forceinline__ void Sum(int num_tiles, Ring& ring, float (&sums)[kTiles][kTokenTiles][4]) {
#pragma unroll
    for (int r = 0; r < kTiles; ++r) {
      if (r >= num_tiles) break;
      for (int stage = 0, unit = run_.begin; stage < stages_; ++stage, unit += kStageUnits) {
        const auto taken = ring.Take();
#pragma unroll 1
        for (int i = 0; i < kStageUnits && unit + i < run_.end; ++i)
          Multiply(taken.units + place_ + i * Unit::kBytes, unit + i, sums[r]);
        ring.Release(taken);
      }
    }
  }

 private:
  // Where a lane finds its inputs: 16 bytes for each half of a unit. Lanes of rows that do not exist read the
  // same zeros again and again.
  struct From {
    const uint4* at;
    int half_step;  // in 16 bytes
  };

  // Where 16 bytes (eight inputs) of a row stand: in the order in which lanes load them.
  __device__ static int Place(int unit, int tile, int half, int g, int t) {
    return (((unit * kTokenTiles + tile) * 2 + half) * kTokens + g) * 4 + t;
  }

  // Several loads of a thread are in flight at a time: one after the other they would cost a microsecond a
  // row.
  __device__ static void LoadRows(const Plan& p, const BlockRows& mine, uint4* rows) {
    constexpr int kInFlight = 8;
    const int chunks = p.call.x_stride / 8, total = chunks * mine.count;
    const auto* from = reinterpret_cast<const uint4*>(p.call.x) + int64_t{mine.first} * chunks;
    for (int begin = static_cast<int>(threadIdx.x); begin < total; begin += kInFlight * kWorkers) {
      uint4 loaded[kInFlight];
#pragma unroll
      for (int j = 0; j < kInFlight; ++j) {
        const int i = begin + j * kWorkers;
        if (i < total) loaded[j] = from[i];
      }
#pragma unroll
      for (int j = 0; j < kInFlight; ++j) {
        const int i = begin + j * kWorkers, row = i / chunks, chunk = i % chunks;
        if (i < total)
          rows[Place(chunk / 8, row / kTokens, chunk % 2, row % kTokens, chunk % 8 / 2)] = loaded[j];
      }
    }
  }

  // Adds one unit of a tile to the sums of all token tiles.
  __device__ __forceinline__ void Multiply(const uint8_t* weights, int unit,
                                           float (&sums)[kTokenTiles][4]) const {
    const Unit w(weights, LaneIndex());
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t a0[4], a1[4];
      w.Load(2 * half, a0);
      w.Load(2 * half + 1, a1);
#pragma unroll
      for (int tile = 0; tile < kTokenTiles; ++tile) {
        const uint4 b = at_[tile].at[(unit * 2 * kTokenTiles + half) * at_[tile].half_step];
        Mma(sums[tile], a0, b.x, b.y);
        Mma(sums[tile], a1, b.z, b.w);
      }
    }
  }

  Run run_;
  int stages_, place_;  // of a tile; where in a stage this warp's units begin, in bytes
  From at_[kTokenTiles];
};

}  // namespace fourstep::cuda
