#include "cuda/linear.h"

#include <algorithm>
#include <type_traits>

#include "cuda/ahead.cuh"
#include "cuda/gemm.h"
#include "cuda/launch.h"
#include "cuda/linear_tiles.cuh"
#include "cuda/register_inputs.cuh"
#include "cuda/shared_inputs.cuh"
#include "cuda/weight_ring.cuh"
#include "cuda/weight_units.cuh"

namespace fourstep::cuda {
namespace {

// What a launch adds to a plan.
struct LaunchPlan {
  Plan plan;
  StreamedLinear stream;
  Divisor tile_blocks;
  int32_t block_rows;   // that a block takes, of those of the call
  int32_t stages;       // of the ring
  int32_t input_bytes;  // of shared memory, for inputs
  int32_t sum_bytes;
};

// Blocks of the same tiles and other rows are neighbours in the grid, so that they run side by side and one
// of them brings the weights to the L2 cache for all.
__device__ __forceinline__ BlockRows RowsOfBlock(const LaunchPlan& p) {
  const int first = static_cast<int>(blockIdx.x) * p.block_rows;
  return {first, min(p.block_rows, p.plan.call.num_rows - first)};
}

template <class Inputs>
using RingOf = RingMemory<kWarps * Inputs::kStageUnits * Inputs::Unit::kBytes>;

template <class Inputs, int kTiles, bool kIsGated>
__global__ __launch_bounds__(kThreads, 1) void LinearKernel(const __grid_constant__ LaunchPlan l) {
  using Exchange = SumExchange<kTiles, kIsGated>;
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ uint64_t sum_barriers[Exchange::kNumBarriers];
  LetNextBegin();
  const Plan& p = l.plan;
  // As a value of the whole warp: without it the compiler loops over lanes for every barrier that is set up
  // (a step of the 8B 2,219 us, with it 2,193).
  const int warp = __shfl_sync(kAllLanes, WarpIndex(), 0);
  const BlockTiles tiles =
      TilesOf(p.call.linear.num_tiles, kIsGated ? 2 : 1, static_cast<int>(blockIdx.y), l.tile_blocks);
  const RingOf<Inputs> memory(shared + l.input_bytes + l.sum_bytes, l.stages);
  // A block that begins when the kernel before has ended loses what stands before its first loads: the warp
  // that fetches waits for the ring's barriers alone, the others meet when their inputs are under way.
  const bool leads = warp % kTeamWarps == 0;
  if (threadIdx.x % kWarpLanes == 0) {
    if (leads && warp < kWarps) memory.Init(warp / kTeamWarps);
    if (warp == 1) Exchange::Init(sum_barriers, p.log_pairs);
  }
  constexpr int kRingBarrier = 1, kRingThreads = (kWarpTeams + 1) * kWarpLanes;
  if (warp == kWarps) {
    SyncThreads(kRingBarrier, kRingThreads);
    FillRing(memory, l.stream, tiles);
    const int block = static_cast<int>(blockIdx.y * gridDim.x + blockIdx.x),
              num_blocks = static_cast<int>(gridDim.x * gridDim.y);
    BringToL2(p.call.weights_ahead, block, num_blocks);
    return BringToL2(p.call.cache_ahead, block, num_blocks);
  }
  __syncwarp();
  if (leads) ArriveOnly(kRingBarrier, kRingThreads);
  WeightRing ring(memory, warp);
  const Exchange exchange(sum_barriers, reinterpret_cast<float*>(shared + l.input_bytes), p.log_pairs);
  const BlockRows mine = RowsOfBlock(l);
  WaitForPrevious();
  Inputs inputs(p, mine, reinterpret_cast<uint4*>(shared));
  SyncWorkers();
  TileWalk<kTiles, kIsGated>(p, mine, tiles, exchange).Run(inputs, ring);
}

StreamedLinear StreamOf(const Plan& p, int stage_units, int group_tiles) {
  const LinearView& v = p.call.linear;
  return {.units = v.units,
          .num_tiles = v.num_tiles,
          .num_units = v.num_units,
          .num_slices = p.num_slices,
          .slice_units = p.slice_units,
          .unit_bytes = v.unit_bytes(),
          .stage_units = stage_units,
          .group_tiles = group_tiles};
}

// Shared memory of a block beside the part that is asked for at the launch, rounded up.
constexpr int kStaticBytes = 256;

template <class Inputs, int kTiles, bool kIsGated>
void LaunchKernel(LaunchPlan l, const DeviceLimits& limits, cudaStream_t stream) {
  l.stream = StreamOf(l.plan, Inputs::kStageUnits, kTiles);
  l.sum_bytes = SumExchange<kTiles, kIsGated>::Bytes(l.plan.log_pairs);
  constexpr int kFewestStages = 2;
  const int most_bytes = limits.shared_bytes_per_block - kStaticBytes - l.input_bytes - l.sum_bytes;
  // 37 KB an SM under way are too few: a step of the 8B took 4.8 ms, with 74 KB 3.4, though two blocks of
  // successive kernels then no longer fit an SM. 220 KB are no better than 147.
  constexpr int kMostStages = Inputs::Unit::kIsFourBit ? 4 : 6;
  l.stages = std::clamp(most_bytes / RingOf<Inputs>::Bytes(1), kFewestStages, kMostStages);
  const int bytes = l.input_bytes + l.sum_bytes + RingOf<Inputs>::Bytes(l.stages);
  FOURSTEP_CUDA_REQUIRE(bytes + kStaticBytes <= limits.shared_bytes_per_block);
  const auto kernel = LinearKernel<Inputs, kTiles, kIsGated>;
  static const bool is_ready = AllowSharedBytes(kernel, limits.shared_bytes_per_block - kStaticBytes);
  (void)is_ready;
  const int row_blocks = (l.plan.call.num_rows + l.block_rows - 1) / l.block_rows;
  const int groups = l.plan.call.linear.num_tiles / (kIsGated ? 2 : 1);
  const int tile_blocks = std::clamp(limits.num_sms / row_blocks, 1, groups);
  l.tile_blocks = tile_blocks;
  Launch(kernel, dim3(static_cast<unsigned>(row_blocks), static_cast<unsigned>(tile_blocks)), dim3(kThreads),
         static_cast<size_t>(bytes), stream, l);
}

// For up to eight rows a block, by the longest run of a warp.
template <class Unit, bool kIsGated, bool kIsSliced>
void LaunchRuns(const Plan& p, const DeviceLimits& limits, cudaStream_t stream) {
  LaunchPlan l{};
  l.plan = p;
  l.block_rows = std::min(p.call.num_rows, kTokens);
  l.plan.log_pairs = l.block_rows > 4 ? 2 : l.block_rows > 2 ? 1 : 0;
  // Exchanging sums costs a group as much as a fifth of a tile's arithmetic: of two tiles at a time, a head
  // of the 8B takes 85 us, of four 80.
  constexpr int kTiles = kIsSliced ? kIsGated ? 2 : 3 : 4;
  const auto launch = [&](auto run_units) {
    using Inputs = RegisterInputs<Unit, decltype(run_units)::value, kIsSliced>;
    LaunchKernel<Inputs, kTiles, kIsGated>(l, limits, stream);
  };
  static_assert(kMaxRunUnits == 5);
  if constexpr (Unit::kStageUnits > 1) {
    if (p.slice_units <= 4 * kWarps) return launch(std::integral_constant<int, 4>{});
  }
  launch(std::integral_constant<int, kMaxRunUnits>{});
}

// For more than eight rows a block, as many as fit beside the shortest useful ring. False where none do.
template <class Unit, bool kIsGated>
bool LaunchTokenTiles(const Plan& p, const DeviceLimits& limits, cudaStream_t stream) {
  constexpr int kTiles = kIsGated ? 2 : 1;
  const auto launch = [&](auto token_tiles) {
    constexpr int kTokenTiles = decltype(token_tiles)::value;
    using Inputs = SharedInputs<Unit, kTokenTiles>;
    LaunchPlan l{};
    l.plan = p;
    l.plan.log_pairs = 2;
    l.block_rows = kTokenTiles * kTokens;
    l.input_bytes = Inputs::Bytes(p.call.linear.num_units);
    if (l.input_bytes + SumExchange<kTiles, kIsGated>::Bytes(2) + RingOf<Inputs>::Bytes(2) + kStaticBytes >
        limits.shared_bytes_per_block)
      return false;
    LaunchKernel<Inputs, kTiles, kIsGated>(l, limits, stream);
    return true;
  };
  const int wanted = (p.call.num_rows + kTokens - 1) / kTokens;
  if constexpr (!kIsGated) {
    if (wanted > 4 && launch(std::integral_constant<int, 8>{})) return true;
  }
  return (wanted > 2 && launch(std::integral_constant<int, 4>{})) || launch(std::integral_constant<int, 2>{});
}

template <class Unit>
void LaunchUnits(const Plan& p, const DeviceLimits& limits, cudaStream_t stream) {
  const bool is_gated = p.call.epilogue == Epilogue::kGated;
  if (p.num_slices > 1) {
    is_gated ? LaunchRuns<Unit, true, true>(p, limits, stream)
             : LaunchRuns<Unit, false, true>(p, limits, stream);
    return;
  }
  if (p.call.num_rows > kTokens) {
    if (is_gated ? LaunchTokenTiles<Unit, true>(p, limits, stream)
                 : LaunchTokenTiles<Unit, false>(p, limits, stream))
      return;
  }
  is_gated ? LaunchRuns<Unit, true, false>(p, limits, stream)
           : LaunchRuns<Unit, false, false>(p, limits, stream);
}

}  // namespace

void LaunchLinear(const LinearCall& call, const DeviceLimits& limits, cudaStream_t stream) {
  const LinearView& v = call.linear;
  FOURSTEP_CUDA_REQUIRE(call.x_stride == v.num_units * kUnitInputs);
  FOURSTEP_CUDA_REQUIRE(call.epilogue != Epilogue::kGated || v.pair_outputs > 0);
  const Slices slices = SlicesOf(v.num_units);
  const Plan p{.call = call, .num_slices = slices.count, .slice_units = slices.units, .log_pairs = 0};
  if (IsForGemm(call)) {
    LaunchGemm(p, limits, stream);
  } else if (v.kind == UnitKind::kFourBit) {
    LaunchUnits<FourBitUnit>(p, limits, stream);
  } else if (v.kind == UnitKind::kFp8) {
    LaunchUnits<Fp8Unit>(p, limits, stream);
  } else {
    LaunchUnits<Bf16Unit>(p, limits, stream);
  }
}

}  // namespace fourstep::cuda
