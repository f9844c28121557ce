#include "cuda/attention.h"

#include <algorithm>
#include <type_traits>

#include "cuda/attention_split.cuh"
#include "cuda/launch.h"

namespace fourstep::cuda {
namespace {

constexpr int kRotateWarps = 8, kRotateThreads = kRotateWarps * kWarpLanes;

// One warp a head of a row, blockIdx.x: q heads, then k heads, then v heads.
template <int kDims>
__global__ __launch_bounds__(kRotateThreads) void RotateAndAppendKernel(CacheView c, RowsView qkv,
                                                                        StepView step, HeadNorms norms) {
  LetNextBegin();
  WaitForPrevious();
  const int row = static_cast<int>(blockIdx.x), warp = static_cast<int>(threadIdx.x) / kWarpLanes,
            head = static_cast<int>(blockIdx.y) * kRotateWarps + warp,
            lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  if (head >= c.num_heads + 2 * c.num_kv_heads) return;
  const int position = step.positions[row];
  uint16_t* x = qkv.values + int64_t{row} * qkv.stride + head * c.head_dim;
  const CachePlace at =
      PlaceOf(c, step, step.slots[row], position, max(0, head - c.num_heads) % c.num_kv_heads);
  if (head >= c.num_heads + c.num_kv_heads) return AppendValue(c, at, x, lane);
  const bool is_key = head >= c.num_heads;
  const HeadWeights<kDims> norm(c, is_key ? norms.k : norms.q, lane);
  uint16_t* to = KeyAt(c, at);
  NormAndRotate(c, x, norm, norms.epsilon, Rotation<kDims>(c, position, lane), lane,
                [&](int i, uint16_t bits) {
                  x[i] = bits;
                  if (is_key) to[i] = bits;
                });
}

// Block (split, kv head and tile of its heads, row).
template <int kDims, bool kRotates>
__global__ __launch_bounds__(kAttentionThreads, kDims > 128 ? 1 : 2) void AttentionKernel(
    const __grid_constant__ AttentionCall call, StepView step, int first_row) {
  LetNextBegin();
  extern __shared__ __align__(16) float memory[];
  AttentionSplit<kDims, kRotates> split(call, step, first_row);
  if (split.exists()) split.Run(step, memory);
}

template <int kDims, bool kRotates>
void LaunchDims(const AttentionCall& call, const StepView& step, int32_t max_context, int32_t num_rows,
                cudaStream_t stream) {
  const CacheView& cache = call.cache;
  const auto kernel = AttentionKernel<kDims, kRotates>;
  static const bool is_ready = [&] {
    constexpr int kMostBytes =
        kPairs * kTileHeads * (kPartialHeader + kDims) * static_cast<int>(sizeof(float));
    FOURSTEP_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMostBytes));
    return true;
  }();
  (void)is_ready;
  // More than one split only from kMinSplitGroups + 1 groups on, so that the largest context has the most.
  const int groups = (max_context + cache.block_tokens - 1) / cache.block_tokens * cache.groups_per_block;
  const int splits = std::min(kMaxSplits, (groups + kMinSplitGroups - 1) / kMinSplitGroups);
  for (int32_t first = 0; first < num_rows; first += kAttentionRows) {
    const dim3 grid(static_cast<unsigned>(splits),
                    static_cast<unsigned>(cache.num_kv_heads * HeadTiles(cache)),
                    static_cast<unsigned>(std::min(kAttentionRows, num_rows - first)));
    Launch(kernel, grid, dim3(kAttentionThreads), static_cast<size_t>(SplitBytes(cache)), stream, call, step,
           first);
  }
}

// function(std::integral_constant<int, padded_dim>).
template <class Function>
void ForPaddedDim(const CacheView& cache, const Function& function) {
  switch (cache.padded_dim) {
    case 64:
      return function(std::integral_constant<int, 64>{});
    case 128:
      return function(std::integral_constant<int, 128>{});
    case 256:
      return function(std::integral_constant<int, 256>{});
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

void LaunchRotateAndAppend(const CacheView& cache, RowsView qkv, const StepView& step, const HeadNorms& norms,
                           int32_t num_rows, cudaStream_t stream) {
  const int heads = cache.num_heads + 2 * cache.num_kv_heads;
  const dim3 grid(static_cast<unsigned>(num_rows),
                  static_cast<unsigned>((heads + kRotateWarps - 1) / kRotateWarps));
  ForPaddedDim(cache, [&](auto dims) {
    Launch(RotateAndAppendKernel<decltype(dims)::value>, grid, dim3(kRotateThreads), 0, stream, cache, qkv,
           step, norms);
  });
}

void LaunchAttention(const AttentionCall& call, const StepView& step, int32_t max_context, int32_t num_rows,
                     cudaStream_t stream) {
  ForPaddedDim(call.cache, [&](auto dims) {
    constexpr int kDims = decltype(dims)::value;
    const auto launch = call.rotates ? LaunchDims<kDims, true> : LaunchDims<kDims, false>;
    launch(call, step, max_context, num_rows, stream);
  });
}

}  // namespace fourstep::cuda
