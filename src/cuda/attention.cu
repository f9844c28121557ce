#include "cuda/attention.h"

#include <algorithm>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/row_form.cuh"

namespace fourstep::cuda {
namespace {

constexpr int kTileHeads = 16;  // rows of an mma
constexpr int kWarps = 4, kThreads = kWarps * kWarpLanes;

// Where a row's key or value of one head lies.
struct CachePlace {
  int64_t block_head;  // index of (block, kv head)
  int group, offset;   // within the block; within the group
};
__device__ CachePlace PlaceOf(const CacheView& c, const StepView& step, int slot, int position, int kv_head) {
  const int block = step.block_tables[int64_t{slot} * step.max_blocks + position / c.block_tokens];
  const int in_block = position % c.block_tokens;
  return {int64_t{block} * c.num_kv_heads + kv_head, in_block / kGroupTokens, in_block % kGroupTokens};
}

// One warp a head of a row: q heads, then k heads, then v heads.
__global__ void RotateAndAppendKernel(CacheView c, RowsView qkv, StepView step, const float* q_norm,
                                      const float* k_norm, float epsilon) {
  WaitForPrevious();
  LetNextBegin();
  const int row = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y),
            lane = static_cast<int>(threadIdx.x);
  const int position = step.positions[row];
  uint16_t* x = qkv.values + int64_t{row} * qkv.stride + head * c.head_dim;
  const bool is_q = head < c.num_heads, is_v = head >= c.num_heads + c.num_kv_heads;
  const int kv_head = (head - c.num_heads) % c.num_kv_heads;
  if (is_v) {
    const CachePlace at = PlaceOf(c, step, step.slots[row], position, kv_head);
    uint16_t* v =
        c.v + (at.block_head * c.groups_per_block + at.group) * c.padded_dim * kGroupTokens + at.offset;
    for (int i = lane; i < c.head_dim; i += kWarpLanes) v[i * kGroupTokens] = x[i];
    return;
  }
  const float* norm = is_q ? q_norm : k_norm;
  float factor = 1;
  if (norm != nullptr) {
    float sum = 0;
    for (int i = lane; i < c.head_dim; i += kWarpLanes) {
      const float value = BFloat16::Decode({x[i]});
      sum = fmaf(value, value, sum);
    }
    factor = 1.0f / sqrtf(WarpSum(sum) / static_cast<float>(c.head_dim) + epsilon);
  }
  uint16_t* to = x;
  if (!is_q) {
    const CachePlace at = PlaceOf(c, step, step.slots[row], position, kv_head);
    to = c.k + (at.block_head * c.groups_per_block * kGroupTokens + at.group * kGroupTokens + at.offset) *
                   c.padded_dim;
  }
  const int half = c.head_dim / 2;
  for (int i = lane; i < half; i += kWarpLanes) {
    float first = BFloat16::Decode({x[i]}) * factor, second = BFloat16::Decode({x[half + i]}) * factor;
    if (norm != nullptr) {
      first *= norm[i];
      second *= norm[half + i];
    }
    float sine, cosine;
    sincosf(static_cast<float>(position) * c.inv_freq[i], &sine, &cosine);
    sine *= c.rope_factor;
    cosine *= c.rope_factor;
    x[i] = to[i] = BFloat16::Encode(first * cosine - second * sine).bits;
    x[half + i] = to[half + i] = BFloat16::Encode(second * cosine + first * sine).bits;
  }
}

// How the context of a row is shared out: a function of its length alone.
struct Splits {
  int num_groups, count, each;
};
__host__ __device__ Splits SplitsOf(const CacheView& c, int length) {
  const int last = length - 1;
  const int groups = last / c.block_tokens * c.groups_per_block + last % c.block_tokens / kGroupTokens + 1;
  int count = (groups + kMinSplitGroups - 1) / kMinSplitGroups;
  count = count < kMaxSplits ? count : kMaxSplits;
  const int each = (groups + count - 1) / count;
  return {groups, (groups + each - 1) / each, each};
}

__device__ uint32_t PairAt(const uint16_t* values, int i, int n) {
  return i < n ? *reinterpret_cast<const uint32_t*>(values + i) : 0u;
}

// Online softmax of one warp over its groups: 16 heads of one row, kDims = padded_dim. Lane 4 g + t holds
// heads g and g + 8.
template <int kDims>
struct WarpAttention {
  static constexpr int kSteps = kDims / 16, kDimTiles = kDims / 8;
  uint32_t q[kSteps][4];
  float out[kDimTiles][4] = {};
  float max[2] = {-INFINITY, -INFINITY}, sum[2] = {};  // sum: of this lane's positions only

  // q_heads: [num_heads, head_dim] of the row. Lane t owns dimensions 16 t .. 16 t + 15 of each 64.
  __device__ void LoadQuery(const uint16_t* q_heads, int num_heads, int head_dim, int lane) {
    const int g = lane / 4, t = lane % 4;
    for (int s = 0; s < kSteps; ++s) {
      const int dim = s / 4 * 64 + 16 * t + s % 4 * 4;
      for (int half = 0; half < 2; ++half) {
        const int head = g + 8 * half;
        const uint16_t* from = q_heads + head * head_dim;
        q[s][half] = head < num_heads ? PairAt(from, dim, head_dim) : 0u;
        q[s][2 + half] = head < num_heads ? PairAt(from, dim + 2, head_dim) : 0u;
      }
    }
  }

  // k [16, kDims], v [kDims, 16]; positions from num_valid on do not count. `scale` includes log2 e.
  __device__ void Attend(const uint16_t* k, const uint16_t* v, int num_valid, float scale, int lane) {
    const int g = lane / 4, t = lane % 4;
    // Column g of score tile j is position 4 (g / 2) + 2 j + g % 2, so that a lane's scores are of positions
    // 4 t .. 4 t + 3, which lie together in v.
    float scores[2][4] = {};
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const uint16_t* row = k + (g / 2 * 4 + 2 * j + g % 2) * kDims + 16 * t;
#pragma unroll
      for (int chunk = 0; chunk < kDims / 64; ++chunk) {
        const uint4 b0 = *reinterpret_cast<const uint4*>(row + 64 * chunk);
        const uint4 b1 = *reinterpret_cast<const uint4*>(row + 64 * chunk + 8);
        Mma(scores[j], q[4 * chunk], b0.x, b0.y);
        Mma(scores[j], q[4 * chunk + 1], b0.z, b0.w);
        Mma(scores[j], q[4 * chunk + 2], b1.x, b1.y);
        Mma(scores[j], q[4 * chunk + 3], b1.z, b1.w);
      }
    }
    uint32_t parts[3][4];  // of the weights: three BF16 carry all 24 bits of them
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float s[4];  // of positions 4 t + i
      for (int i = 0; i < 4; ++i)
        s[i] = 4 * t + i < num_valid ? scores[i / 2][2 * half + i % 2] * scale : -INFINITY;
      float top = fmaxf(fmaxf(s[0], s[1]), fmaxf(s[2], s[3]));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
      top = fmaxf(top, max[half]);
      const float shrink = exp2f(max[half] - top);
      max[half] = top;
      float weights[4];
      for (int i = 0; i < 4; ++i) weights[i] = exp2f(s[i] - top);
      sum[half] = sum[half] * shrink + ((weights[0] + weights[1]) + (weights[2] + weights[3]));
      for (int tile = 0; tile < kDimTiles; ++tile) {
        out[tile][2 * half] *= shrink;
        out[tile][2 * half + 1] *= shrink;
      }
      for (int i = 0; i < 2; ++i) {
        float first = weights[2 * i], second = weights[2 * i + 1];
        for (auto& part : parts) {
          part[2 * i + half] = PackBf16(first, second);
          first -= Bf16Low(part[2 * i + half]);
          second -= Bf16High(part[2 * i + half]);
        }
      }
    }
    const int rest = num_valid - 4 * t;  // of this lane's four positions
    const uint32_t mask0 = rest >= 2 ? ~0u : rest == 1 ? 0xFFFFu : 0u;
    const uint32_t mask1 = rest >= 4 ? ~0u : rest == 3 ? 0xFFFFu : 0u;
#pragma unroll
    for (int tile = 0; tile < kDimTiles; ++tile) {
      const uint2 b = *reinterpret_cast<const uint2*>(v + (8 * tile + g) * kGroupTokens + 4 * t);
      // What was never written must not count, not even as 0 times NaN.
      for (const auto& part : parts) Mma(out[tile], part, b.x & mask0, b.y & mask1);
    }
  }
};

// Partial result of a head: its maximum, its sum, kDims weighted sums.
constexpr int kPartialHeader = 2;

// Block (split, kv head and tile of its heads, row). Warps take groups in turn; their results are merged in
// shared memory, those of the blocks by the block that comes last, both in a fixed order.
template <int kDims>
__global__ __launch_bounds__(kThreads) void AttentionKernel(CacheView c, RowsView out, RowsView qkv,
                                                            StepView step, RowForm form,
                                                            AttentionWorkspace workspace, int first_row) {
  WaitForPrevious();
  LetNextBegin();
  extern __shared__ float shared[];
  const int heads_per_kv = c.num_heads / c.num_kv_heads;
  const int head_tiles = (heads_per_kv + kTileHeads - 1) / kTileHeads;
  const int kv_head = static_cast<int>(blockIdx.y) / head_tiles,
            head_tile = static_cast<int>(blockIdx.y) % head_tiles;
  const int num_heads = min(kTileHeads, heads_per_kv - head_tile * kTileHeads);
  const int first_head = kv_head * heads_per_kv + head_tile * kTileHeads;
  const int row = first_row + static_cast<int>(blockIdx.z), split = static_cast<int>(blockIdx.x);
  const int length = step.positions[row] + 1;
  const Splits splits = SplitsOf(c, length);
  if (split >= splits.count) return;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes,
            lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int g = lane / 4, t = lane % 4;

  WarpAttention<kDims> mine;
  mine.LoadQuery(qkv.values + int64_t{row} * qkv.stride + first_head * c.head_dim, num_heads, c.head_dim,
                 lane);
  const float scale = 1.4426950408889634f / sqrtf(static_cast<float>(c.head_dim));
  const int32_t* table = step.block_tables + int64_t{step.slots[row]} * step.max_blocks;
  const int end = min((split + 1) * splits.each, splits.num_groups);
  for (int group = split * splits.each + warp; group < end; group += kWarps) {
    const int block = group / c.groups_per_block, in_block = group % c.groups_per_block;
    const int first = block * c.block_tokens + in_block * kGroupTokens;
    const int num_valid = min(min(kGroupTokens, c.block_tokens - in_block * kGroupTokens), length - first);
    const int64_t at = (int64_t{table[block]} * c.num_kv_heads + kv_head) * c.groups_per_block + in_block;
    mine.Attend(c.k + at * kGroupTokens * kDims, c.v + at * kGroupTokens * kDims, num_valid, scale, lane);
  }

  // Warps into shared memory: [kWarps][16][header + kDims].
  constexpr int kStride = kPartialHeader + kDims;
  for (int half = 0; half < 2; ++half) {
    float sum = mine.sum[half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    if (g + 8 * half >= num_heads) continue;
    float* to = shared + (warp * kTileHeads + g + 8 * half) * kStride;
    if (t == 0) {
      to[0] = mine.max[half];
      to[1] = sum;
    }
    for (int tile = 0; tile < WarpAttention<kDims>::kDimTiles; ++tile) {
      to[kPartialHeader + 8 * tile + 2 * t] = mine.out[tile][2 * half];
      to[kPartialHeader + 8 * tile + 2 * t + 1] = mine.out[tile][2 * half + 1];
    }
  }
  __syncthreads();

  // `count` partial results of head h, `stride` floats apart, merged: the weighted sum of dimension d.
  struct Merged {
    float max, sum, value;
  };
  const auto merge = [&](const float* partial, int count, int64_t stride, int d) {
    Merged m{-INFINITY, 0, 0};
    for (int i = 0; i < count; ++i) m.max = fmaxf(m.max, partial[i * stride]);
    for (int i = 0; i < count; ++i) {
      const float* p = partial + i * stride;
      const float factor = p[0] == -INFINITY ? 0.0f : exp2f(p[0] - m.max);
      m.sum += p[1] * factor;
      m.value += p[kPartialHeader + d] * factor;
    }
    return m;
  };
  const int num_outputs = num_heads * c.head_dim;
  const float* results = shared;
  int num_results = kWarps;
  int64_t result_stride = kTileHeads * kStride, head_stride = kStride;
  if (splits.count > 1) {
    // [row of the launch][head][split][header + kDims]
    float* to =
        workspace.partial + ((int64_t{blockIdx.z} * c.num_heads + first_head) * kMaxSplits + split) * kStride;
    for (int i = static_cast<int>(threadIdx.x); i < num_outputs; i += kThreads) {
      const int head = i / c.head_dim, d = i % c.head_dim;
      const Merged m = merge(shared + head * kStride, kWarps, kTileHeads * kStride, d);
      float* at = to + int64_t{head} * kMaxSplits * kStride;
      at[kPartialHeader + d] = m.value;
      if (d == 0) {
        at[0] = m.max;
        at[1] = m.sum;
      }
    }
    __threadfence();
    __syncthreads();
    __shared__ int arrived;
    if (threadIdx.x == 0) {
      int32_t* counter = workspace.arrived + blockIdx.z * gridDim.y + blockIdx.y;
      arrived = atomicAdd(counter, 1);
      if (arrived == splits.count - 1) *counter = 0;
    }
    __syncthreads();
    if (arrived != splits.count - 1) return;
    __threadfence();
    results = workspace.partial + (int64_t{blockIdx.z} * c.num_heads + first_head) * kMaxSplits * kStride;
    num_results = splits.count;
    result_stride = kStride;
    head_stride = int64_t{kMaxSplits} * kStride;
  }
  uint16_t* out_row = out.values + int64_t{row} * out.stride;
  for (int i = static_cast<int>(threadIdx.x); i - lane < num_outputs; i += kThreads) {
    const bool exists = i < num_outputs;
    float y = 0;
    if (exists) {
      const Merged m =
          merge(results + i / c.head_dim * head_stride, num_results, result_stride, i % c.head_dim);
      y = m.value / m.sum;
    }
    const int column = first_head * c.head_dim + (exists ? i : 0);
    const float stored = FormOfLane(y, column, form);
    if (exists) out_row[column] = BFloat16::Encode(stored).bits;
  }
}

int HeadTiles(const CacheView& c) {
  return (c.heads_per_kv() + kTileHeads - 1) / kTileHeads;
}

template <int kDims>
void LaunchDims(const CacheView& cache, RowsView out, RowsView qkv, const StepView& step, const RowForm& form,
                const AttentionWorkspace& workspace, int32_t max_context, int32_t num_rows,
                cudaStream_t stream) {
  constexpr int kSharedBytes =
      kWarps * kTileHeads * (kPartialHeader + kDims) * static_cast<int>(sizeof(float));
  const auto kernel = AttentionKernel<kDims>;
  static const bool is_ready = [&] {
    FOURSTEP_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
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
    Launch(kernel, grid, dim3(kThreads), kSharedBytes, stream, cache, out, qkv, step, form, workspace, first);
  }
}

}  // namespace

int64_t WorkspaceFloats(const CacheView& cache) {
  return int64_t{kAttentionRows} * cache.num_heads * kMaxSplits * (kPartialHeader + cache.padded_dim);
}
int64_t WorkspaceCounters(const CacheView& cache) {
  return int64_t{kAttentionRows} * cache.num_kv_heads * HeadTiles(cache);
}

void LaunchRotateAndAppend(const CacheView& cache, RowsView qkv, const StepView& step, const float* q_norm,
                           const float* k_norm, float epsilon, int32_t num_rows, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(num_rows),
                  static_cast<unsigned>(cache.num_heads + 2 * cache.num_kv_heads));
  Launch(RotateAndAppendKernel, grid, dim3(kWarpLanes), 0, stream, cache, qkv, step, q_norm, k_norm, epsilon);
}

void LaunchAttention(const CacheView& cache, RowsView out, RowsView qkv, const StepView& step,
                     const RowForm& form, const AttentionWorkspace& workspace, int32_t max_context,
                     int32_t num_rows, cudaStream_t stream) {
  const auto launch = [&](auto dims) {
    LaunchDims<decltype(dims)::value>(cache, out, qkv, step, form, workspace, max_context, num_rows, stream);
  };
  switch (cache.padded_dim) {
    case 64:
      return launch(std::integral_constant<int, 64>{});
    case 128:
      return launch(std::integral_constant<int, 128>{});
    case 256:
      return launch(std::integral_constant<int, 256>{});
    default:
      FOURSTEP_CUDA_REQUIRE(cache.padded_dim == 64 || cache.padded_dim == 128 || cache.padded_dim == 256);
  }
}

}  // namespace fourstep::cuda
