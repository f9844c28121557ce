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
  // A stage of the ring is a whole run of four-bit units, or some 2 KB of others: fewer bytes a copy than
  // that and the warp that fetches is not fast enough (an FP8 head: 269 us by units of 1 KB).
  static constexpr int kTokenTiles = 1, kStageUnits = Unit::kIsFourBit ? kRunUnits : Unit::kStageUnits;

  __device__ RegisterInputs(const Plan& p, const BlockRows& mine, uint4*) : p_(p), rows_(mine) { Load(0); }

  // Of each tile of a group, keep(tile of the group, sums). Not unrolled, for the code would not fit the
  // instruction cache.
  template <int kTiles, class Ring, class Keep>
  __device__ __forceinline__ void Sum(int num_tiles, Ring& ring, const Keep& keep) {
    if constexpr (kIsSliced) {
      float sums[kTiles][4] = {};
      for (int slice = 0; slice < p_.num_slices; ++slice) {
        if (slice != held_slice_) Load(slice);
#pragma unroll 1
        for (int r = 0; r < kTiles; ++r) {  // in turns, each at sums[0]
          if (r < num_tiles) MultiplyRun(ring, sums[0]);
          Rotate(sums);
        }
      }
#pragma unroll
      for (int r = 0; r < kTiles; ++r) keep(r, sums[r]);
    } else {
#pragma unroll 1
      for (int r = 0; r < num_tiles; ++r) {
        float sums[4] = {};
        MultiplyRun(ring, sums);
        keep(r, sums);
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
#pragma unroll
    for (int i = 0; i < 2 * kRunUnits; ++i) {
      inputs_[i] = uint4{};
      if (g < rows_.count && i / 2 < count_) inputs_[i] = from[i / 2 * (kUnitInputs / 8) + i % 2];
    }
  }

  __device__ __forceinline__ void Multiply(const uint8_t* weights, int i, float (&sums)[4]) const {
    const Unit w(weights, LaneIndex());
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t a0[4], a1[4];
      w.Load(2 * half, a0);
      w.Load(2 * half + 1, a1);
      const uint4& b = inputs_[2 * i + half];
      Mma(sums, a0, b.x, b.y);
      Mma(sums, a1, b.z, b.w);
    }
  }
  template <class Ring>
  __device__ __forceinline__ void MultiplyRun(Ring& ring, float (&sums)[4]) const {
    if constexpr (!Unit::kIsFourBit) {
#pragma unroll
      for (int i = 0; i < kRunUnits; i += kStageUnits) {
        if (i >= count_) break;
        const uint8_t* weights = ring.Wait();
#pragma unroll
        for (int j = 0; j < kStageUnits && i + j < kRunUnits; ++j) {
          if (j == 0 || i + j < count_) Multiply(weights + j * Unit::kBytes, i + j, sums);
        }
        ring.Release();
      }
    } else {
      if (count_ == 0) return;
      const uint8_t* weights = ring.Wait();
      if (count_ == kRunUnits) {  // without conditions: loads run ahead
#pragma unroll
        for (int i = 0; i < kRunUnits; ++i) Multiply(weights + i * Unit::kBytes, i, sums);
      } else {
#pragma unroll
        for (int i = 0; i < kRunUnits - 1; ++i) {
          if (i < count_) Multiply(weights + i * Unit::kBytes, i, sums);
        }
      }
      ring.Release();
    }
  }
  // sums[0] to the end.
  template <int kTiles>
  __device__ static void Rotate(float (&sums)[kTiles][4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float first = sums[0][j];
#pragma unroll
      for (int i = 0; i + 1 < kTiles; ++i) sums[i][j] = sums[i + 1][j];
      sums[kTiles - 1][j] = first;
    }
  }

  const Plan& p_;
  BlockRows rows_;
  int held_slice_, count_;       // the slice at hand, and the units of its run
  uint4 inputs_[2 * kRunUnits];  // of each unit, its two halves
};

}  // namespace fourstep::cuda
