#include "cuda/linear.h"

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/linear_kernel.cuh"

namespace fourstep::cuda {
namespace {

constexpr int PartialBytes(int tiles) {
  return (2 * (tiles == 2 ? 2 : 1) * kWarps + 1) * kTileSums * static_cast<int>(sizeof(float));
}

int RowsBytes(const Plan& p, int token_tiles) {
  const int tokens = token_tiles == 1 ? 1 << p.log_tokens : token_tiles * kTokens;
  return p.held_units * kUnitInputs * tokens * 2;
}

template <class Unit, int kTiles, int kTokenTiles, bool kIsSliced>
void LaunchKernel(Plan p, const DeviceLimits& limits, cudaStream_t stream) {
  constexpr int kMostStages = Unit::kBytes == kFourBitUnitBytes ? 8 : 6;
  p.rows_bytes = RowsBytes(p, kTokenTiles);
  const int fixed = p.rows_bytes + PartialBytes(kTiles);
  const int stage_bytes = kWarps * (Unit::kBytes + 8);
  p.stages = std::clamp((limits.shared_bytes_per_block - fixed) / stage_bytes, 2, kMostStages);
  p.ring_bytes = kWarps * p.stages * Unit::kBytes;
  const int bytes = fixed + p.stages * stage_bytes;
  FOURSTEP_CUDA_REQUIRE(bytes <= limits.shared_bytes_per_block);
  const auto kernel = LinearKernel<Unit, kTiles, kTokenTiles, kIsSliced>;
  static const bool is_ready = [&] {
    FOURSTEP_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       limits.shared_bytes_per_block));
    return true;
  }();
  (void)is_ready;
  const int groups = p.call.linear.num_tiles / (kTiles == 2 ? 2 : 1);
  Launch(kernel, dim3(static_cast<unsigned>(std::min(groups, limits.num_sms))), dim3(kThreads),
         static_cast<size_t>(bytes), stream, p);
}

// The most token tiles whose rows fit beside the shortest useful ring.
template <class Unit>
int MostTokenTiles(const Plan& p, int tiles, const DeviceLimits& limits) {
  for (int token_tiles = tiles == 2 ? 4 : 8; token_tiles > 1; token_tiles /= 2) {
    if (RowsBytes(p, token_tiles) + PartialBytes(tiles) + 3 * kWarps * (Unit::kBytes + 8) <=
        limits.shared_bytes_per_block)
      return token_tiles;
  }
  return 1;
}

template <class Unit, int kTiles, bool kIsSliced>
void LaunchTiles(Plan p, const DeviceLimits& limits, cudaStream_t stream) {
  const LinearCall all = p.call;
  const int out_bytes = all.epilogue == Epilogue::kLogits ? 4 : 2;
  const int most = kIsSliced ? 1 : MostTokenTiles<Unit>(p, kTiles, limits);
  for (int row = 0; row < all.num_rows;) {
    const int rest = all.num_rows - row;
    int token_tiles = 1;
    while (token_tiles < most && token_tiles * kTokens < rest) token_tiles *= 2;
    p.call.num_rows = std::min(rest, token_tiles * kTokens);
    p.call.x = all.x + int64_t{row} * all.x_stride;
    p.call.out = static_cast<uint8_t*>(all.out) + int64_t{row} * all.out_stride * out_bytes;
    p.log_tokens = p.call.num_rows > 4 ? 3 : p.call.num_rows > 2 ? 2 : p.call.num_rows - 1;
    if constexpr (kIsSliced) {
      constexpr int kMostHeldBytes = 64 << 10;  // all units, where much room is left for the rings
      p.held_units = p.call.linear.num_units;
      if (RowsBytes(p, 1) > kMostHeldBytes) p.held_units = p.slice_units;
      LaunchKernel<Unit, kTiles, 1, true>(p, limits, stream);
    } else {
      switch (token_tiles) {
        case 1:
          LaunchKernel<Unit, kTiles, 1, false>(p, limits, stream);
          break;
        case 2:
          LaunchKernel<Unit, kTiles, 2, false>(p, limits, stream);
          break;
        case 4:
          LaunchKernel<Unit, kTiles, 4, false>(p, limits, stream);
          break;
        default:
          if constexpr (kTiles == 1) LaunchKernel<Unit, kTiles, 8, false>(p, limits, stream);
          break;
      }
    }
    row += p.call.num_rows;
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
