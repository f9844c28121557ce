#include "cuda/attention.h"

#include <algorithm>
#include <type_traits>

#include "cuda/attention_split.cuh"
#include "cuda/attention_tile.cuh"
#include "cuda/launch.h"

namespace fourstep::cuda {
namespace {

constexpr int kRotateWarps = 8, kRotateThreads = kRotateWarps * kWarpLanes;
constexpr unsigned kFullGrid = 128;  // blocks that a large device has room for at a time, one an SM

// One block a row.
__global__ __launch_bounds__(kRotateThreads) void TurnKernel(CacheView c, StepView step) {
  LetNextBegin();
  WaitForPrevious();
  const int row = static_cast<int>(blockIdx.x), half = c.head_dim / 2;
  const auto position = static_cast<float>(step.positions[row]);
  for (int i = static_cast<int>(threadIdx.x); i < half; i += kRotateThreads) {
    float sine, cosine;
    sincosf(position * c.inv_freq[i], &sine, &cosine);
    step.turns[int64_t{row} * half + i] = make_float2(cosine * c.rope_factor, sine * c.rope_factor);
  }
}

// One warp a head of a row, blockIdx.x: q heads, then k heads, then v heads.
template <class Cache, int kDims>
__global__ __launch_bounds__(kRotateThreads) void RotateAndAppendKernel(CacheView c, RowsView qkv,
                                                                        StepView step, HeadNorms norms) {
  LetNextBegin();
  WaitForPrevious();
  const int row = static_cast<int>(blockIdx.x), warp = WarpIndex(),
            head = static_cast<int>(blockIdx.y) * kRotateWarps + warp, lane = LaneIndex();
  if (head >= c.num_heads + 2 * c.num_kv_heads) return;
  const int position = step.positions[row];
  uint16_t* x = qkv.values + int64_t{row} * qkv.stride + head * c.head_dim;
  const int block = step.block_tables[int64_t{step.slots[row]} * step.max_blocks + position / c.block_tokens];
  const CachePlace at = PlaceOf(c, block, position, max(0, head - c.num_heads) % c.num_kv_heads);
  const HeadBits<kDims> bits(c, x, lane);
  if (head >= c.num_heads + c.num_kv_heads) {
    typename Cache::Value* v = ValueAt<Cache>(c, at);
    return EncodeValue<Cache>(c, bits, lane, [&](int i, typename Cache::Value value) {
      v[Cache::ValueIndex(i, at.offset)] = value;
    });
  }
  const bool is_key = head >= c.num_heads;
  const HeadWeights<kDims> norm(c, is_key ? norms.k : norms.q, lane);
  typename Cache::Value* to = KeyAt<Cache>(c, at);
  NormAndRotate(c, bits, norm, norms.epsilon, Rotation<kDims>(c, step, row, lane), lane,
                [&](int i, float value) {
                  x[i] = BFloat16::Encode(value).bits;
                  if (is_key) to[Cache::KeyIndex(i)] = Cache::Encode(value, c.k_scale);
                });
}

// Block (some splits, kv head and tile of its heads, row): of those that are alone in their sequence.
template <class Cache, int kDims, bool kRotates, int kQueries, int kHeld>
__global__ __launch_bounds__(kAttentionThreads, kHeld > 1 ? 1 : kBlocksAnSm<kDims>) void AttentionKernel(
    const __grid_constant__ AttentionCall call, StepView step, const int32_t* tiles, int first,
    const __grid_constant__ Divisor blocks) {
  LetNextBegin();
  extern __shared__ __align__(16) float memory[];
  using Split = AttentionSplit<Cache, kDims, kRotates, kQueries, kHeld>;
  Split(call, step, tiles, first, blocks).Run(step, *reinterpret_cast<typename Split::Memory*>(memory));
}

// Block (some splits or all, kv head and some of its heads, tile).
template <class Cache, int kDims>
__global__ __launch_bounds__(kMaxTileThreads) void TileKernel(const __grid_constant__ AttentionCall call,
                                                              StepView step, const int32_t* tiles) {
  LetNextBegin();
  extern __shared__ __align__(16) float memory[];
  AttentionTile<Cache, kDims> tile(call, step, tiles, memory);
  if (tile.exists()) tile.Run();
}

// From partial results of TileKernel to outputs. Block (row of the tile, kv head, tile).
template <class Cache, int kDims>
__global__ __launch_bounds__(kAttentionThreads) void MergeKernel(const __grid_constant__ AttentionCall call,
                                                                 StepView step, const int32_t* tiles) {
  LetNextBegin();
  const CacheView& c = call.cache;
  const int first = tiles[2 * blockIdx.z], count = tiles[2 * blockIdx.z + 1],
            row = first + static_cast<int>(blockIdx.x);
  if (row >= first + count) return;
  const int splits = SplitsOf(c, step.positions[row] + 1).count, each = c.heads_per_kv(),
            head = static_cast<int>(blockIdx.y) * each;
  WaitForPrevious();
  StoreHeads<Cache, kMaxSplits>(
      call, row, head, each,
      {WorkspaceOf<kDims>(call, row, head), kWorkspaceStride<kDims>, kMaxSplits * kWorkspaceStride<kDims>},
      splits, kAttentionThreads / kWarpLanes);
}

// The most splits that a row of up to max_context positions has.
int SplitsUpTo(const CacheView& c, int32_t max_context) {
  const int groups = (max_context + c.block_tokens - 1) / c.block_tokens * c.groups_per_block;
  return std::min(kMaxSplits, (groups + kMinSplitGroups - 1) / kMinSplitGroups);
}

// `splits`: of a block, at most.
template <class Cache, int kDims, bool kRotates, int kQueries, int kHeld>
void LaunchSplits(const AttentionCall& call, const StepView& step, const int32_t* tiles, int first, dim3 grid,
                  int splits, cudaStream_t stream) {
  const auto kernel = AttentionKernel<Cache, kDims, kRotates, kQueries, kHeld>;
  using Memory = SplitMemory<Cache, kDims, kQueries>;
  static_assert(sizeof(Memory) + kPairs * kQueries * kPartialStride<kDims> * sizeof(float) <=
                Memory::kMostBytes);
  const int bytes = Memory::Bytes(call.cache, splits);
  static const bool is_ready = AllowSharedBytes(kernel, Memory::kMostBytes);
  (void)is_ready;
  FOURSTEP_CUDA_REQUIRE(bytes <= Memory::kMostBytes);
  Launch(kernel, grid, dim3(kAttentionThreads), static_cast<size_t>(bytes), stream, call, step, tiles, first,
         Divisor(static_cast<int32_t>(grid.x)));
}

template <class Cache, int kDims, bool kRotates, int kQueries>
void LaunchAlone(const AttentionCall& call, const StepView& step, const TileList& rows, int32_t max_context,
                 cudaStream_t stream) {
  const CacheView& cache = call.cache;
  using Memory = SplitMemory<Cache, kDims, kQueries>;
  const int splits = SplitsUpTo(cache, max_context);
  for (int32_t first = 0; first < rows.num_alone; first += kAttentionRows) {
    dim3 grid(static_cast<unsigned>(splits), static_cast<unsigned>(cache.num_kv_heads * HeadTiles(cache)),
              static_cast<unsigned>(std::min(kAttentionRows, rows.num_alone - first)));
    // Where no SM has two blocks anyway, a warp may hold two groups. Larger tiles and dimensions have no such
    // kernel, for the sake of the time to compile.
    if constexpr (kDims <= kMaxTileDims && kQueries <= kHalfTile) {
      if (grid.x * grid.y * grid.z <= kFullGrid) {
        LaunchSplits<Cache, kDims, kRotates, kQueries, 2>(call, step, rows.tiles, first, grid, 1, stream);
        continue;
      }
    }
    // As many blocks a row as all run at a time, if a block may have that many splits.
    const int most = Memory::MostSplits(cache), fewest_blocks = (splits + most - 1) / most,
              room = static_cast<int>(kBlocksAnSm<kDims> * kFullGrid / (grid.y * grid.z)),
              blocks = std::clamp(room, fewest_blocks, splits);
    grid.x = static_cast<unsigned>(blocks);
    LaunchSplits<Cache, kDims, kRotates, kQueries, 1>(call, step, rows.tiles, first, grid,
                                                      (splits + blocks - 1) / blocks, stream);
  }
}

template <class Cache, int kDims>
void LaunchShared(const AttentionCall& call, const StepView& step, const TileList& rows, int32_t max_context,
                  cudaStream_t stream) {
  const CacheView& cache = call.cache;
  const auto kernel = TileKernel<Cache, kDims>;
  static const bool is_ready = AllowSharedBytes(kernel, TileBytes<Cache, kDims>(kMaxTeamHeads));
  (void)is_ready;
  const auto tiles = static_cast<unsigned>(rows.num_shared);
  const auto kv_heads = static_cast<unsigned>(cache.num_kv_heads);
  const int32_t* first = rows.tiles + 2 * rows.num_alone;
  dim3 grid(1, kv_heads * static_cast<unsigned>(BlocksOfKvHead(cache)), tiles);
  // Few rows do not fill the device where a block has all of their context.
  if (rows.num_rows <= kAttentionRows) {
    const int rounds = (SplitsUpTo(cache, max_context) + kTeams - 1) / kTeams;
    grid.x = std::clamp(kFullGrid / (grid.y * grid.z), 1u, static_cast<unsigned>(rounds));
  }
  Launch(kernel, grid, dim3(static_cast<unsigned>(TileThreads(cache))),
         static_cast<size_t>(TileBytes<Cache, kDims>(TeamHeads(cache))), stream, call, step, first);
  if (grid.x > 1)
    Launch(MergeKernel<Cache, kDims>, dim3(kTileRows, kv_heads, tiles), dim3(kAttentionThreads), 0, stream,
           call, step, first);
}

// function(Cache(), std::integral_constant<int, padded_dim>).
template <class Function>
void ForCache(const CacheView& cache, const Function& function) {
  const auto with = [&](auto dims) {
    if (cache.is_fp8) {
      function(Fp8Cache(), dims);
    } else {
      function(Bf16Cache(), dims);
    }
  };
  switch (cache.padded_dim) {
    case 64:
      return with(std::integral_constant<int, 64>{});
    case 128:
      return with(std::integral_constant<int, 128>{});
    case 256:
      return with(std::integral_constant<int, 256>{});
    default:
      FOURSTEP_CUDA_REQUIRE(cache.padded_dim == 64 || cache.padded_dim == 128 || cache.padded_dim == 256);
  }
}

}  // namespace

int64_t WorkspaceFloats(const CacheView& cache) {
  return int64_t{kAttentionRows} * cache.num_heads * kMaxSplits * (kPartialHeader + cache.padded_dim);
}
int64_t WorkspaceCounters(const CacheView& cache) {
  return int64_t{kAttentionRows} * cache.num_kv_heads * HeadTiles(cache);
}

void LaunchTurns(const CacheView& cache, const StepView& step, int32_t num_rows, cudaStream_t stream) {
  Launch(TurnKernel, dim3(static_cast<unsigned>(num_rows)), dim3(kRotateThreads), 0, stream, cache, step);
}

void LaunchRotateAndAppend(const CacheView& cache, RowsView qkv, const StepView& step, const HeadNorms& norms,
                           int32_t num_rows, cudaStream_t stream) {
  const int heads = cache.num_heads + 2 * cache.num_kv_heads;
  const dim3 grid(static_cast<unsigned>(num_rows),
                  static_cast<unsigned>((heads + kRotateWarps - 1) / kRotateWarps));
  ForCache(cache, [&](auto format, auto dims) {
    Launch(RotateAndAppendKernel<decltype(format), decltype(dims)::value>, grid, dim3(kRotateThreads), 0,
           stream, cache, qkv, step, norms);
  });
}

void LaunchAttention(const AttentionCall& call, const StepView& step, const TileList& rows,
                     int32_t max_context, cudaStream_t stream) {
  ForCache(call.cache, [&](auto format, auto dims) {
    using Cache = decltype(format);
    constexpr int kDims = decltype(dims)::value;
    // The largest heads have one form of sums only, for the sake of the time to compile.
    constexpr int kFewQueries = kDims <= kMaxTileDims ? kHalfTile : kTileQueries;
    const auto launch = [&](auto queries) {
      constexpr int kQueries = decltype(queries)::value;
      const auto alone = call.rotates ? LaunchAlone<Cache, kDims, true, kQueries>
                                      : LaunchAlone<Cache, kDims, false, kQueries>;
      alone(call, step, rows, max_context, stream);
    };
    if (call.cache.heads_per_kv() <= kFewQueries) {
      launch(std::integral_constant<int, kFewQueries>{});
    } else {
      launch(std::integral_constant<int, kTileQueries>{});
    }
    if constexpr (kDims <= kMaxTileDims) {
      if (rows.num_shared > 0) LaunchShared<Cache, kDims>(call, step, rows, max_context, stream);
    }
  });
}

}  // namespace fourstep::cuda
