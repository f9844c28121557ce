#include "cuda/linear.h"

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/linear_kernel.cuh"

namespace fourstep::cuda {
namespace {

// Of partial sums, a gated tile's values, and the zeros of rows that do not exist.
constexpr int PartialBytes(int tiles) {
  return (2 * (tiles == 2 ? 2 : 1) * kWarps + 1) * kTileSums * static_cast<int>(sizeof(float)) +
         static_cast<int>(sizeof(uint4));
}

int RowsBytes(const Plan& p, int token_tiles) {
  const int tokens = token_tiles == 1 ? 1 << p.log_tokens : token_tiles * kTokens;
  return p.held_units * kUnitInputs * tokens * 2;
}

// Of a stage of all warps' rings, with their barriers.
template <class Unit>
constexpr int StageBytes() {
  return kWarps * (Unit::kStageUnits * Unit::kBytes + 8);
}

template <class Unit, int kTiles, int kTokenTiles, bool kIsSliced>
void LaunchKernel(Plan p, const DeviceLimits& limits, cudaStream_t stream) {
  p.rows_bytes = RowsBytes(p, kTokenTiles);
  const int fixed = p.rows_bytes + PartialBytes(kTiles);
  // All stages but the one being read are under way. 37 KB an SM (two stages) are too few: a step of the 8B
  // took 4.8 ms, with 74 KB 3.4, though two blocks of successive kernels then no longer fit an SM.
  constexpr int kMostStages = Unit::kStageUnits > 1 ? 3 : 6;
  p.stages = std::clamp((limits.shared_bytes_per_block - fixed) / StageBytes<Unit>(), 2, kMostStages);
  p.ring_bytes = kWarps * p.stages * Unit::kStageUnits * Unit::kBytes;
  const int bytes = fixed + p.stages * StageBytes<Unit>();
  FOURSTEP_CUDA_REQUIRE(bytes <= limits.shared_bytes_per_block);
  const auto kernel = LinearKernel<Unit, kTiles, kTokenTiles, kIsSliced>;
  static const bool is_ready = [&] {
    FOURSTEP_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       limits.shared_bytes_per_block));
    return true;
  }();
  (void)is_ready;
  const int row_blocks = (p.call.num_rows + p.block_rows - 1) / p.block_rows;
  const int groups = p.call.linear.num_tiles / (kTiles == 2 ? 2 : 1);
  const int tile_blocks = std::clamp(limits.num_sms / row_blocks, 1, groups);
  Launch(kernel, dim3(static_cast<unsigned>(row_blocks), static_cast<unsigned>(tile_blocks)), dim3(kThreads),
         static_cast<size_t>(bytes), stream, p);
}

// The most token tiles whose rows fit beside the shortest useful ring.
template <class Unit>
int MostTokenTiles(const Plan& p, int tiles, const DeviceLimits& limits) {
  for (int token_tiles = tiles == 2 ? 4 : 8; token_tiles > 1; token_tiles /= 2) {
    if (RowsBytes(p, token_tiles) + PartialBytes(tiles) + 2 * StageBytes<Unit>() <=
        limits.shared_bytes_per_block)
      return token_tiles;
  }
  return 1;
}

template <class Unit, int kTiles, bool kIsSliced>
void LaunchTiles(Plan p, const DeviceLimits& limits, cudaStream_t stream) {
  const int most = kIsSliced ? 1 : MostTokenTiles<Unit>(p, kTiles, limits);
  int token_tiles = 1;
  while (token_tiles < most && token_tiles * kTokens < p.call.num_rows) token_tiles *= 2;
  p.block_rows = token_tiles * kTokens;
  const int held = std::min(p.call.num_rows, p.block_rows);
  p.log_tokens = held > 4 ? 3 : held > 2 ? 2 : held - 1;
  if constexpr (kIsSliced) {
    constexpr int kMostHeldBytes = 64 << 10;  // all units, where much room is left for the rings
    p.held_units = p.call.linear.num_units;
    if (RowsBytes(p, 1) > kMostHeldBytes) p.held_units = p.slice_units;
    LaunchKernel<Unit, kTiles, 1, true>(p, limits, stream);
  } else {
    switch (token_tiles) {
      case 1:
        return LaunchKernel<Unit, kTiles, 1, false>(p, limits, stream);
      case 2:
        return LaunchKernel<Unit, kTiles, 2, false>(p, limits, stream);
      case 4:
        return LaunchKernel<Unit, kTiles, 4, false>(p, limits, stream);
      default:
        if constexpr (kTiles == 1) LaunchKernel<Unit, kTiles, 8, false>(p, limits, stream);
    }
  }
}

template <class Unit>
void LaunchUnits(const Plan& p, const DeviceLimits& limits, cudaStream_t stream) {
  const bool is_gated = p.call.epilogue == Epilogue::kGated;
  if (p.num_slices > 1) {
    is_gated ? LaunchTiles<Unit, 2, true>(p, limits, stream) : LaunchTiles<Unit, 4, true>(p, limits, stream);
  } else {
    is_gated ? LaunchTiles<Unit, 2, false>(p, limits, stream)
             : LaunchTiles<Unit, 1, false>(p, limits, stream);
  }
}

}  // namespace

void LaunchLinear(const LinearCall& call, const DeviceLimits& limits, cudaStream_t stream) {
  const LinearView& v = call.linear;
  FOURSTEP_CUDA_REQUIRE(call.x_stride == v.num_units * kUnitInputs);
  FOURSTEP_CUDA_REQUIRE(call.epilogue != Epilogue::kGated || v.pair_outputs > 0);
  Plan p{};
  p.call = call;
  p.num_slices = (v.num_units + kMaxSliceUnits - 1) / kMaxSliceUnits;
  p.slice_units = (v.num_units + p.num_slices - 1) / p.num_slices;
  p.held_units = p.slice_units;
  if (v.is_four_bit) {
    LaunchUnits<FourBitUnit>(p, limits, stream);
  } else {
    LaunchUnits<Bf16Unit>(p, limits, stream);
  }
}

}  // namespace fourstep::cuda
