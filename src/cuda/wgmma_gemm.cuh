// Many rows on the tensor cores of Hopper GPUs, a warp group at a time: the warps of a block decode a unit of
// weights once for all its rows, into shared memory, while the one before it is being multiplied.
//
// Its bits are those of mma wherever the two were compared (docs/performance.md, Invariance.ManyRows).
#pragma once

#include <cstdint>

#include "cuda/gemm_block.cuh"
#include "cuda/wgmma.cuh"

namespace fourstep::cuda {

// The two warp groups of a block have 64 rows each and all its outputs, or 64 outputs each of its 64 rows.
template <class Unit, int kRows>
class WgmmaGemm {
  static constexpr int kStages = 4, kGroupOutputs = kRows == 128 ? kGemmOutputs : kGemmOutputs / 2;
  static constexpr int kSteps = kUnitInputs / 16;  // products of a unit
  // Decoded weights of a step: pieces (inputs / 8, outputs / 8).
  static constexpr int kPieceBytes = 128, kInputStep = kGemmOutputs / 8 * kPieceBytes;
  static constexpr int kStepBytes = 2 * kInputStep, kDecodedBytes = kSteps * kStepBytes;
  static_assert(kRows == 64 || kRows == 128);

 public:
  using Block = GemmBlock<Unit, kRows, kStages, 1, 2 * kDecodedBytes>;
  static constexpr int kBlocksPerSm = Unit::kIsFourBit && kRows == 64 ? 2 : 1;

  __device__ WgmmaGemm(const Plan& p, uint8_t* memory) : block_(p, memory) {}

  __device__ __forceinline__ void Run() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    block_.OrderUnits();
    __syncthreads();
    for (int stage = 0; stage < kStages - 1; ++stage) block_.Fetch(stage, stage);
    WaitForCopies<kStages - 2>();
    __syncthreads();
    float total[kGroupOutputs / 2] = {}, sums[kGroupOutputs / 2];
    bool adds = false;  // to the sums of a run that has begun
    const int num_units = block_.num_units();
    for (int i = 0, stage = 0; i < num_units; ++i) {
      const typename Block::Entries now(block_, i), ahead(block_, i + kStages - 1);
      const uint8_t* unit = block_.UnitAt(stage, 0);
      uint8_t* decoded = block_.more() + i % 2 * kDecodedBytes;
      Decode(unit, decoded);
      WaitForCopies<kStages - 3>();
      WaitForWgmma();  // before the barrier: then the other group's products too are done with their weights
      AsyncCopiesComeLater();  // and so do products: they read shared memory as copies write it
      __syncthreads();         // decoded; the next unit is there, and the stage of the one before is free
      if (i > 0 && !adds) AddTo(total, sums);
      Multiply(unit, decoded, sums, adds);
      block_.Fetch(ahead, stage == 0 ? kStages - 1 : stage - 1);
      adds = !now.EndsRuns(0);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    WaitForWgmma();
    AddTo(total, sums);
    __syncthreads();
    KeepSums(total);
    block_.Store();
#endif
  }

 private:
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __device__ static int FirstRow() {  // of this warp, within the block
    return (kRows == 128 ? WarpIndex() : WarpIndex() % 4) * 16;
  }
  __device__ static int FirstOutput() {
    return kRows == 128 ? 0 : WarpIndex() / 4 * kGroupOutputs;
  }

  // A warp decodes a tile.
  __device__ __forceinline__ void Decode(const uint8_t* unit, uint8_t* decoded) const {
    static_assert(kGemmTiles == kGemmWarps);
    const Unit weights(unit + WarpIndex() * Unit::kBytes, LaneIndex());
    uint8_t* to = decoded + WarpIndex() * 2 * kPieceBytes + LaneIndex() * 4;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint32_t a[4];  // outputs g, g + 8, g, g + 8 at inputs 2t and, of the last two, 2t + 8
      weights.Load(step, a);
#pragma unroll
      for (int j = 0; j < 4; ++j)
        *reinterpret_cast<uint32_t*>(to + step * kStepBytes + j / 2 * kInputStep + j % 2 * kPieceBytes) =
            a[j];
    }
  }
  __device__ __forceinline__ void Multiply(const uint8_t* unit, const uint8_t* decoded,
                                           float (&sums)[kGroupOutputs / 2], bool adds) const {
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
    const uint8_t* inputs = unit + Block::kWeightBytes + Block::Place(FirstRow(), 0);
    uint32_t a[kSteps][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint8_t* at = inputs + Block::Place(g, 2 * t + half);
      const uint4 low = *reinterpret_cast<const uint4*>(at),
                  high = *reinterpret_cast<const uint4*>(at + Block::Place(kTokens, 0));
      a[2 * half][0] = low.x, a[2 * half][1] = high.x, a[2 * half][2] = low.y, a[2 * half][3] = high.y;
      a[2 * half + 1][0] = low.z, a[2 * half + 1][1] = high.z;
      a[2 * half + 1][2] = low.w, a[2 * half + 1][3] = high.w;
    }
    BeginWgmma();
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
      Wgmma(sums, a[step],
            WgmmaOperand(decoded + step * kStepBytes + FirstOutput() / 8 * kPieceBytes, kInputStep,
                         kPieceBytes),
            step > 0 || adds);
    EndWgmmaBatch();
  }
  // Ends what one warp of the kernel for few rows sums.
  __device__ static void AddTo(float (&total)[kGroupOutputs / 2], const float (&sums)[kGroupOutputs / 2]) {
#pragma unroll
    for (int i = 0; i < kGroupOutputs / 2; ++i) total[i] += sums[i];
  }
  __device__ __forceinline__ void KeepSums(const float (&total)[kGroupOutputs / 2]) const {
    const int g = LaneIndex() / 4, t = LaneIndex() % 4;
#pragma unroll
    for (int i = 0; i < kGroupOutputs / 2; ++i)
      *block_.SumsAt(FirstRow() + g + i % 4 / 2 * 8, FirstOutput() + i / 4 * 8 + 2 * t + i % 2) = total[i];
  }
#endif

  Block block_;
};

}  // namespace fourstep::cuda
