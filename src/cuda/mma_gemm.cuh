// Many rows on the tensor cores of any GPU: of the warps of a block, four share the outputs and two the rows,
// and a unit of weights is decoded once for all rows of a warp.
#pragma once

#include <cstdint>

#include "cuda/gemm_block.cuh"

namespace fourstep::cuda {

constexpr int kGemmOutputWarps = 4, kGemmRowWarps = 2, kWarpTiles = kGemmTiles / kGemmOutputWarps;
static_assert(kWarpTiles == 2 && kGemmOutputWarps * kGemmRowWarps == kGemmWarps);

// kTokenTiles: of eight rows each, of a warp.
template <class Unit, int kTokenTiles>
class MmaGemm {
  static constexpr int kStages = kTokenTiles > 4 ? 3 : 4, kStageUnits = Unit::kIsFourBit ? 2 : 1;

 public:
  using Block = GemmBlock<Unit, kGemmRowWarps * kTokenTiles * kTokens, kStages, kStageUnits, 0>;
  static constexpr int kBlocksPerSm = Unit::kIsFourBit && kTokenTiles <= 4 ? 2 : 1;

  __device__ MmaGemm(const Plan& p, uint8_t* memory) : block_(p, memory) {}

  __device__ __forceinline__ void Run() {
    block_.OrderUnits();
    __syncthreads();
    for (int stage = 0; stage < kStages - 1; ++stage) block_.Fetch(stage * kStageUnits, stage);
    float total[kWarpTiles][kTokenTiles][4] = {}, sums[kWarpTiles][kTokenTiles][4] = {};
    const int num_units = block_.num_units();
    for (int first = 0, stage = 0; first < num_units; first += kStageUnits) {
      const typename Block::Entries now(block_, first), ahead(block_, first + (kStages - 1) * kStageUnits);
      WaitForCopies<kStages - 2>();
      __syncthreads();  // these units are there, and the stage of those before them is free
#pragma unroll
      for (int i = 0; i < kStageUnits; ++i) {
        if (first + i == num_units) break;
        Multiply(block_.UnitAt(stage, i), sums);
        if (i == 0) block_.Fetch(ahead, stage == 0 ? kStages - 1 : stage - 1);
        if (now.EndsRuns(i)) AddTo(total, sums);
      }
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    __syncthreads();
    KeepSums(total);
    block_.Store();
  }

 private:
  __device__ static int FirstTile() {  // of this warp, within the block
    return WarpIndex() % kGemmOutputWarps * kWarpTiles;
  }
  __device__ static int FirstTokenTile() {
    return WarpIndex() / kGemmOutputWarps * kTokenTiles;
  }

  __device__ __forceinline__ void Multiply(const uint8_t* unit,
                                           float (&sums)[kWarpTiles][kTokenTiles][4]) const {
    const uint8_t* weights = unit + FirstTile() * Unit::kBytes;
    const uint8_t* inputs = unit + Block::kWeightBytes + Block::Place(FirstTokenTile() * kTokens, 0);
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
    const Unit units[kWarpTiles] = {Unit(weights, LaneIndex()), Unit(weights + Unit::kBytes, LaneIndex())};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t a[kWarpTiles][2][4];
#pragma unroll
      for (int m = 0; m < kWarpTiles; ++m) {
        units[m].Load(2 * half, a[m][0]);
        units[m].Load(2 * half + 1, a[m][1]);
      }
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        const uint4 b = *reinterpret_cast<const uint4*>(inputs + Block::Place(n * kTokens, 0) +
                                                        Block::Place(g, 2 * t + half));
#pragma unroll
        for (int m = 0; m < kWarpTiles; ++m) Mma(sums[m][n], a[m][0], b.x, b.y);
#pragma unroll
        for (int m = 0; m < kWarpTiles; ++m) Mma(sums[m][n], a[m][1], b.z, b.w);
      }
    }
  }
  // Ends what one warp of the kernel for few rows sums.
  __device__ static void AddTo(float (&total)[kWarpTiles][kTokenTiles][4],
                               float (&sums)[kWarpTiles][kTokenTiles][4]) {
#pragma unroll
    for (int m = 0; m < kWarpTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          total[m][n][i] += sums[m][n][i];
          sums[m][n][i] = 0;
        }
      }
    }
  }

  __device__ __forceinline__ void KeepSums(const float (&total)[kWarpTiles][kTokenTiles][4]) const {
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
#pragma unroll
    for (int m = 0; m < kWarpTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          *block_.SumsAt((FirstTokenTile() + n) * kTokens + 2 * t + i % 2,
                         (FirstTile() + m) * kTileOutputs + g + i / 2 * 8) = total[m][n][i];
      }
    }
  }

  Block block_;
};

}  // namespace fourstep::cuda
