// A linear for many rows, as prefill has them: a block takes 128 outputs of some rows, all inputs of both
// pass through its shared memory, and its sums become outputs from there. What multiplies is apart from it.
//
// The sums are those of the kernel for few rows, bit for bit: what that kernel's 16 warps sum is summed run
// by run, by the same operations in the same order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/linear_epilogue.cuh"
#include "cuda/linear_plan.cuh"
#include "cuda/shared_copy.cuh"

namespace fourstep::cuda {

constexpr int kGemmWarps = 8, kGemmThreads = kGemmWarps * kWarpLanes;
constexpr int kGemmTiles = 8, kGemmOutputs = kGemmTiles * kTileOutputs;

// A stage holds some units of all tiles and rows. kMoreBytes: of shared memory, for what multiplies.
template <class UnitType, int kNumRows, int kNumStages, int kUnitsOfStage, int kMoreBytes>
class GemmBlock {
 public:
  using Unit = UnitType;
  static constexpr int kRows = kNumRows, kStages = kNumStages, kStageUnits = kUnitsOfStage;
  static constexpr int kWeightBytes = kGemmTiles * Unit::kBytes, kInputBytes = kRows * kUnitInputs * 2;
  static constexpr int kUnitBytes = kWeightBytes + kInputBytes, kStageBytes = kStageUnits * kUnitBytes;
  // Pieces of 16 bytes: of a tile's unit, of a row's unit; and how many of each a thread copies.
  static constexpr int kTileChunks = Unit::kBytes / 16, kRowChunks = kUnitInputs / 8;
  static constexpr int kWeightCopies = (kGemmTiles * kTileChunks + kGemmThreads - 1) / kGemmThreads;
  static constexpr int kCopyRows = kGemmThreads / kRowChunks;
  static_assert(kCopyRows % kTokens == 0);
  // Sums of a row; the lanes of a warp touch different banks.
  static constexpr int kSumStride = kGemmOutputs + 4;
  static constexpr int kSumBytes = kRows * kSumStride * static_cast<int>(sizeof(float));
  static constexpr int kStagesBytes = std::max(kStages * kStageBytes + kMoreBytes, kSumBytes);

  // Of shared memory: stages and more, which make room for sums at the end, and the order of units.
  static constexpr int Bytes(int num_units) {
    return kStagesBytes + (num_units + kStages * kStageUnits) * static_cast<int>(sizeof(uint16_t));
  }

  // Blocks of the same weights are neighbours.
  __device__ GemmBlock(const Plan& p, uint8_t* memory)
      : p_(p),
        memory_(memory),
        order_(reinterpret_cast<uint16_t*>(memory + kStagesBytes)),
        first_row_(static_cast<int>(blockIdx.x) * kRows),
        first_tile_(static_cast<int>(blockIdx.y) * kGemmTiles) {
    const int thread = static_cast<int>(threadIdx.x), row = thread / kRowChunks, chunk = thread % kRowChunks;
#pragma unroll
    for (int j = 0; j < kWeightCopies; ++j) {
      const int i = thread + j * kGemmThreads;
      // What lies beyond the matrix is replaced by its last tile, and not used.
      const int tile = min(i / kTileChunks, p.call.linear.num_tiles - 1 - first_tile_);
      weight_offsets_[j] = tile * p.call.linear.num_units * Unit::kBytes + i % kTileChunks * 16;
    }
    input_offset_ = row * p.call.x_stride + chunk * 8;
    input_place_ = kWeightBytes + Place(row, chunk);
    num_copy_rows_ = p.call.num_rows - first_row_ - row;
  }

  static constexpr int kNoUnit = kEndsRuns - 1;
  // Of the order, those of a stage; loaded long before they are used.
  struct Entries {
    int of[kStageUnits];
    __device__ Entries(const GemmBlock& block, int first) {
#pragma unroll
      for (int i = 0; i < kStageUnits; ++i) of[i] = block.order_[first + i];
    }
    __device__ int unit(int i) const {
      return of[i] & ~kEndsRuns;
    }
    __device__ bool EndsRuns(int i) const {
      return (of[i] & kEndsRuns) != 0;
    }
  };
  __device__ int num_units() const {
    return p_.call.linear.num_units;
  }
  __device__ uint8_t* UnitAt(int stage, int i) const {
    return memory_ + stage * kStageBytes + i * kUnitBytes;
  }
  // kMoreBytes.
  __device__ uint8_t* more() const {
    return memory_ + kStages * kStageBytes;
  }

  // A thread orders the runs of a warp.
  __device__ __forceinline__ void OrderUnits() const {
    const int warp = static_cast<int>(threadIdx.x);
    if (warp >= kWarps) return;
    OrderRuns(num_units(), p_.num_slices, p_.slice_units, warp, order_);
    static_assert(kStages * kStageUnits <= kWarps);
    if (warp < kStages * kStageUnits) order_[num_units() + warp] = kNoUnit;
  }
  // Begins to bring units to a stage, and commits them, even if there are none.
  __device__ __forceinline__ void Fetch(const Entries& entries, int stage) const {
#pragma unroll
    for (int i = 0; i < kStageUnits; ++i) {
      if (entries.unit(i) != kNoUnit) FetchUnit(entries.unit(i), UnitAt(stage, i));
    }
    EndCopyBatch();
  }
  __device__ __forceinline__ void Fetch(int first, int stage) const {
    Fetch(Entries(*this, first), stage);
  }
  __device__ __forceinline__ void FetchUnit(int unit, uint8_t* to) const {
    const LinearView& v = p_.call.linear;
    const uint8_t* weights = v.units + (int64_t{first_tile_} * v.num_units + unit) * Unit::kBytes;
    const uint16_t* inputs = p_.call.x + int64_t{first_row_} * p_.call.x_stride + unit * kUnitInputs;
#pragma unroll
    for (int j = 0; j < kWeightCopies; ++j) {
      const int i = static_cast<int>(threadIdx.x) + j * kGemmThreads;
      if (i < kGemmTiles * kTileChunks) CopyToShared<16>(to + 16 * i, weights + weight_offsets_[j], 16);
    }
#pragma unroll
    for (int row = 0; row < kRows; row += kCopyRows)
      CopyToShared<16>(to + input_place_ + Place(row, 0), inputs + input_offset_ + row * p_.call.x_stride,
                       row < num_copy_rows_ ? 16 : 0);
  }
  // Where 16 bytes (eight inputs) of a row stand in a unit, in bytes: the eight of a row lie together, dealt
  // so that copies and loads of a warp touch all banks alike. Eight rows are a token tile.
  __device__ static int Place(int row, int chunk) {
    return (row * kRowChunks + (chunk ^ row % kTokens)) * 16;
  }

  // Sums in shared memory [kRows][kSumStride], where the lanes of a warp find outputs next to each other.
  __device__ float* SumsAt(int row, int i) const {
    return reinterpret_cast<float*>(memory_) + row * kSumStride + i;
  }
  // Outputs from sums, which all threads have put there.
  __device__ __forceinline__ void Store() const {
    __syncthreads();
    p_.call.epilogue == Epilogue::kGated ? StoreGated() : StorePlain();
  }

 private:
  // Rows whose factors are loaded together: one after the other they took as long as a quarter of the units.
  static constexpr int kRowsAtOnce = 8;
  __device__ __forceinline__ void StorePlain() const {
    constexpr int kStep = kGemmThreads / kGemmOutputs;
    static_assert(kGemmThreads % kGemmOutputs == 0 && kRows % (kStep * kRowsAtOnce) == 0);
    const int i = static_cast<int>(threadIdx.x) % kGemmOutputs, packed = first_tile_ * kTileOutputs + i;
    if (packed >= p_.call.linear.num_tiles * kTileOutputs) return;
    for (int first = static_cast<int>(threadIdx.x) / kGemmOutputs; first < kRows;
         first += kStep * kRowsAtOnce) {
      Factors factors[kRowsAtOnce];
#pragma unroll
      for (int j = 0; j < kRowsAtOnce; ++j)
        factors[j] =
            LoadFactors(p_.call, packed / kTileOutputs, i % kTileOutputs, first_row_ + first + j * kStep);
#pragma unroll
      for (int j = 0; j < kRowsAtOnce; ++j)
        StoreOutput(p_.call, factors[j], *SumsAt(first + j * kStep, i), packed,
                    first_row_ + first + j * kStep);
    }
  }
  // Gates and ups alternate by eight.
  __device__ __forceinline__ void StoreGated() const {
    constexpr int kOutputs = kGemmOutputs / 2;
    const int i = static_cast<int>(threadIdx.x) % kOutputs, tile = first_tile_ + i / 8;
    const int num_rows = tile < p_.call.linear.num_tiles ? p_.call.num_rows : 0;
    const Factors gate_factors = LoadFactors(p_.call, tile, i % 8, p_.call.num_rows - num_rows);
    const Factors up_factors = LoadFactors(p_.call, tile, i % 8 + 8, p_.call.num_rows - num_rows);
#pragma unroll 4
    for (int r = static_cast<int>(threadIdx.x) / kOutputs; r < kRows; r += kGemmThreads / kOutputs) {
      const int row = first_row_ + r, at = i / 8 * kTileOutputs + i % 8;
      const float gate = Finish(gate_factors, *SumsAt(r, at)), up = Finish(up_factors, *SumsAt(r, at + 8));
      StoreGatedOutput(p_.call, gate, up, tile * 8 + i % 8, row < num_rows ? row : p_.call.num_rows);
    }
  }

  const Plan& p_;
  uint8_t* memory_;
  // [num_units]: in which units are summed, kEndsRuns set in the last of a warp's; then kNoUnit for the
  // stages that are fetched ahead.
  uint16_t* order_;
  int first_row_, first_tile_;
  // What this thread copies of the block's tiles (in bytes) and rows (in values), where it puts that of its
  // first row, and how many rows there are from that on.
  int weight_offsets_[kWeightCopies];
  int input_offset_, input_place_, num_copy_rows_;
};

}  // namespace fourstep::cuda
