#include "cuda/linear.h"

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/linear_tiles.cuh"
#include "cuda/unit_ring.cuh"

namespace fourstep::cuda {
namespace {

// What a launch adds to a plan.
struct LaunchPlan {
  Plan plan;
  StreamedLinear stream;
  int32_t block_rows;  // that a block takes, of those of the call
  int32_t stages;      // of a warp's ring
  int32_t rows_bytes, sum_bytes;
};

// Blocks of the same tiles and other rows are neighbours in the grid, so that they run side by side and one
// of them brings the weights to the L2 cache for all.
__device__ __forceinline__ BlockRows RowsOfBlock(const LaunchPlan& p) {
  const int first = static_cast<int>(blockIdx.x) * p.block_rows;
  return {first, min(p.block_rows, p.plan.call.num_rows - first)};
}

template <class Unit, int kTiles, int kTokenTiles, bool kIsSliced>
__global__ __launch_bounds__(kThreads, 1) void LinearKernel(const __grid_constant__ LaunchPlan l) {
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ uint64_t sum_barriers[SumExchange::kNumBarriers];
  __shared__ uint4 zeros;
  const Plan& p = l.plan;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const TileRange tiles = TilesOf(p.call.linear.num_tiles, kTiles == 2 ? 2 : 1, static_cast<int>(blockIdx.y),
                                  static_cast<int>(gridDim.y));
  constexpr int kStageBytes = Unit::kStageUnits * Unit::kBytes;
  const RingMemory<kStageBytes> rings(shared + l.rows_bytes + l.sum_bytes, l.stages);
  if (threadIdx.x == 0) {
    zeros = uint4{};
    SumExchange::Init(sum_barriers, p.log_pairs());
  }
  rings.Init();
  __syncthreads();
  LetNextBegin();
  if (warp == kWarps) {
    WeightStream stream(l.stream, tiles, static_cast<int>(threadIdx.x) % kWarps);
    return FillRings(rings, stream);
  }
  UnitRing<kStageBytes> ring(rings, warp);
  SumExchange exchange(sum_barriers, p.log_pairs());
  const TileMemory memory{reinterpret_cast<uint4*>(shared), reinterpret_cast<float*>(shared + l.rows_bytes),
                          &zeros};
  const BlockRows mine = RowsOfBlock(l);
  WaitForPrevious();
  WalkTiles<Unit, kTiles, kTokenTiles, kIsSliced>(p, mine, tiles, memory, ring, exchange);
}

StreamedLinear StreamOf(const Plan& p, int group_tiles) {
  const LinearView& v = p.call.linear;
  return {.units = v.units,
          .num_tiles = v.num_tiles,
          .num_units = v.num_units,
          .num_slices = p.num_slices,
          .slice_units = p.slice_units,
          .unit_bytes = v.unit_bytes(),
          .stage_units = v.is_four_bit ? FourBitUnit::kStageUnits : Bf16Unit::kStageUnits,
          .group_tiles = group_tiles};
}

template <class Unit>
constexpr int RingBytes(int stages) {
  return RingMemory<Unit::kStageUnits * Unit::kBytes>::Bytes(stages);
}
// Of barriers and zeros.
constexpr int kStaticBytes = 256;

int HeldBytes(const Plan& p, int token_tiles) {
  return RowsBytes(p.held_units, token_tiles == 1 ? 1 << p.log_tokens : token_tiles * kTokens);
}

template <class Unit, int kTiles, int kTokenTiles, bool kIsSliced>
void LaunchKernel(LaunchPlan l, const DeviceLimits& limits, cudaStream_t stream) {
  l.stream = StreamOf(l.plan, kTiles);
  l.rows_bytes = HeldBytes(l.plan, kTokenTiles);
  l.sum_bytes = SumBytes(l.plan.log_pairs(), kTiles == 2);
  const int fixed = l.rows_bytes + l.sum_bytes;
  // 37 KB an SM under way are too few: a step of the 8B took 4.8 ms, with 74 KB 3.4, though two blocks of
  // successive kernels then no longer fit an SM.
  constexpr int kMostStages = Unit::kStageUnits > 1 ? 4 : 6;
  l.stages =
      std::clamp((limits.shared_bytes_per_block - kStaticBytes - fixed) / RingBytes<Unit>(1), 2, kMostStages);
  const int bytes = fixed + RingBytes<Unit>(l.stages);
  FOURSTEP_CUDA_REQUIRE(bytes + kStaticBytes <= limits.shared_bytes_per_block);
  const auto kernel = LinearKernel<Unit, kTiles, kTokenTiles, kIsSliced>;
  static const bool is_ready = [&] {
    FOURSTEP_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       limits.shared_bytes_per_block - kStaticBytes));
    return true;
  }();
  (void)is_ready;
  const int row_blocks = (l.plan.call.num_rows + l.block_rows - 1) / l.block_rows;
  const int groups = l.plan.call.linear.num_tiles / (kTiles == 2 ? 2 : 1);
  const int tile_blocks = std::clamp(limits.num_sms / row_blocks, 1, groups);
  Launch(kernel, dim3(static_cast<unsigned>(row_blocks), static_cast<unsigned>(tile_blocks)), dim3(kThreads),
         static_cast<size_t>(bytes), stream, l);
}

// The most token tiles whose rows fit beside the shortest useful ring.
template <class Unit>
int MostTokenTiles(const Plan& p, int tiles, const DeviceLimits& limits) {
  for (int token_tiles = tiles == 2 ? 4 : 8; token_tiles > 1; token_tiles /= 2) {
    if (HeldBytes(p, token_tiles) + SumBytes(2, tiles == 2) + RingBytes<Unit>(2) + kStaticBytes <=
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
  LaunchPlan l{};
  l.plan = p;
  l.block_rows = token_tiles * kTokens;
  ShareRows(l.plan, std::min(p.call.num_rows, l.block_rows));
  if constexpr (kIsSliced) {
    LaunchKernel<Unit, kTiles, 1, true>(l, limits, stream);
  } else {
    switch (token_tiles) {
      case 1:
        return LaunchKernel<Unit, kTiles, 1, false>(l, limits, stream);
      case 2:
        return LaunchKernel<Unit, kTiles, 2, false>(l, limits, stream);
      case 4:
        return LaunchKernel<Unit, kTiles, 4, false>(l, limits, stream);
      default:
        if constexpr (kTiles == 1) LaunchKernel<Unit, kTiles, 8, false>(l, limits, stream);
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
  const Plan p = PlanOf(call);
  if (call.linear.is_four_bit) {
    LaunchUnits<FourBitUnit>(p, limits, stream);
  } else {
    LaunchUnits<Bf16Unit>(p, limits, stream);
  }
}

}  // namespace fourstep::cuda
