// Inputs of up to eight rows in registers, for decoding: each warp holds those of its run, which are the same
// for every tile of the block. So a tile costs shared memory its weights alone, whatever the rows.
#pragma once

#include <cstdint>

#include "cuda/linear_plan.cuh"

namespace fourstep::cuda {

// kRunUnits: no warp has a longer run. A sliced linear's inputs change with the slice.
template <class UnitType, int kRunUnits, bool kIsSliced>
class RegisterInputs {
 public:
  using Unit = UnitType;
  // A stage of the ring has whole runs of four-bit units, or some 2 KB of others for each warp: fewer bytes a
  // copy than that and the warp that fetches is not fast enough (an FP8 head: 269 us by units of 1 KB).
  static constexpr int kTokenTiles = 1, kStageUnits = Unit::kIsFourBit ? kRunUnits : Unit::kStageUnits;

  __device__ RegisterInputs(const Plan& p, const BlockRows& mine, uint4*) : p_(p), rows_(mine) { Load(0); }

  // Of each tile of a group, keep(tile of the group, sums).
  template <int kTiles, class Ring, class Keep>
  __device__ __forceinline__ void Sum(int num_tiles, Ring& ring, const Keep& keep) {
    if constexpr (kIsSliced) {
      static_assert(kTiles == 2 || kTiles == 3);
      float pair[2][4] = {}, single[1][4] = {};
      for (int slice = 0; slice < p_.num_slices; ++slice) {
        if (slice != held_slice_) Load(slice);
        if (num_tiles > 1) MultiplyRuns(ring, pair);
        if (kTiles == 3 && num_tiles != 2) MultiplyRuns(ring, single);
      }
      if (num_tiles > 1) {
        keep(0, pair[0]);
        keep(1, pair[1]);
      }
      if (kTiles == 3 && num_tiles != 2) keep(num_tiles - 1, single[0]);
    } else {
#pragma unroll 1  // the code would not fit the instruction cache
      for (int r = 0; r < num_tiles; ++r) {
        float sums[1][4] = {};
        MultiplyRuns(ring, sums);
        keep(r, sums[0]);
      }
    }
  }

 private:
  // This lane's inputs of a slice: 16 t .. 16 t + 15 of each unit, of row g. Bringing the next slice to
  // shared memory ahead was slower: 12.4 us for 10.6 of the 8B's down at one row, 21.6 for 10.9 at eight.
  __device__ __forceinline__ void Load(int slice) {
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
    const Run run = p_.RunOf(slice, WarpIndex());
    const auto* from = reinterpret_cast<const uint4*>(p_.call.x) +
                       int64_t{rows_.first + g} * (p_.call.x_stride / 8) + run.begin * (kUnitInputs / 8) +
                       2 * t;
    held_slice_ = slice;
    count_ = run.end - run.begin;
    stages_ = p_.StagesOf(slice, kStageUnits);
    place_ = p_.PlaceInStage(slice, WarpIndex(), kStageUnits) * Unit::kBytes;
#pragma unroll
    for (int i = 0; i < 2 * kRunUnits; ++i) {
      inputs_[i] = uint4{};
      if (g < rows_.count && i / 2 < count_) inputs_[i] = from[i / 2 * (kUnitInputs / 8) + i % 2];
    }
  }

  // Adds unit i of the runs of some tiles, at weights[tile] + at, to sums [kTiles][4].
  template <int kTiles>
  __device__ __forceinline__ void Multiply(const uint8_t* const (&weights)[kTiles], int at, int i,
                                           float (*sums)[4]) const {
    static_assert(kTiles <= 2);
    const Unit units[2] = {Unit(weights[0] + at, LaneIndex()), Unit(weights[kTiles - 1] + at, LaneIndex())};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint4& b = inputs_[2 * i + half];
      uint32_t a[kTiles][2][4];
#pragma unroll
      for (int r = 0; r < kTiles; ++r) {
        units[r].Load(2 * half, a[r][0]);
        units[r].Load(2 * half + 1, a[r][1]);
      }
#pragma unroll
      for (int r = 0; r < kTiles; ++r) Mma(sums[r], a[r][0], b.x, b.y);
#pragma unroll
      for (int r = 0; r < kTiles; ++r) Mma(sums[r], a[r][1], b.z, b.w);
    }
  }
  // Adds the runs of the next tiles. Four-bit units of two tiles go side by side: while the tensor core adds
  // to one sum, the other's weights are made.
  template <int kTiles, class Ring>
  __device__ __forceinline__ void MultiplyRuns(Ring& ring, float (&sums)[kTiles][4]) const {
    if constexpr (Unit::kIsFourBit) {
      typename Ring::Stage taken[kTiles];
      const uint8_t* weights[kTiles];
#pragma unroll
      for (int r = 0; r < kTiles; ++r) {
        taken[r] = ring.Take();
        weights[r] = taken[r].units + place_;
      }
      if (count_ == kRunUnits) {  // without conditions: loads run ahead
#pragma unroll
        for (int i = 0; i < kRunUnits; ++i) Multiply(weights, i * Unit::kBytes, i, sums);
      } else {
#pragma unroll
        for (int i = 0; i < kRunUnits - 1; ++i) {
          if (i < count_) Multiply(weights, i * Unit::kBytes, i, sums);
        }
      }
#pragma unroll
      for (int r = 0; r < kTiles; ++r) ring.Release(taken[r]);
    } else {
#pragma unroll
      for (int r = 0; r < kTiles; ++r) MultiplyByStages(ring, sums + r);
    }
  }
  template <class Ring>
  __device__ __forceinline__ void MultiplyByStages(Ring& ring, float (*sums)[4]) const {
#pragma unroll
    for (int i = 0; i < kRunUnits; i += kStageUnits) {
      if (i >= stages_ * kStageUnits) break;
      const auto taken = ring.Take();
      const uint8_t* const weights[1] = {taken.units + place_};
#pragma unroll
      for (int j = 0; j < kStageUnits && i + j < kRunUnits; ++j) {
        if (i + j < count_) Multiply(weights, j * Unit::kBytes, i + j, sums);
      }
      ring.Release(taken);
    }
  }

  const Plan& p_;
  BlockRows rows_;
  int held_slice_, count_;       // the slice at hand, and the units of its run
  int stages_, place_;           // of a tile; where in a stage this warp's units begin, in bytes
  uint4 inputs_[2 * kRunUnits];  // of each unit, its two halves
};

}  // namespace fourstep::cuda
