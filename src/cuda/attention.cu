#include "cuda/attention.h"

#include <algorithm>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/row_form.cuh"

namespace fourstep::cuda {
namespace {

constexpr int kTileHeads = 16;  // rows of an mma
constexpr int kWarps = 4, kThreads = kWarps * kWarpLanes;

// Tiles of the query heads that share a kv head.
FOURSTEP_HD int HeadTiles(const CacheView& c) {
  return (c.heads_per_kv() + kTileHeads - 1) / kTileHeads;
}

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

// One warp: norm and RoPE of the head at `x`; store(i, bits) gets what dimension i becomes. A lane stores no
// dimension before it has read it, so x may be where it stores to.
template <class Store>
__device__ __forceinline__ void NormAndRotate(const CacheView& c, const uint16_t* x, const float* norm,
                                              float epsilon, int position, int lane, const Store& store) {
  float factor = 1;
  if (norm != nullptr) {
    float sum = 0;
    for (int i = lane; i < c.head_dim; i += kWarpLanes) {
      const float value = BFloat16::Decode({x[i]});
      sum = fmaf(value, value, sum);
    }
    factor = 1.0f / sqrtf(WarpSum(sum) / static_cast<float>(c.head_dim) + epsilon);
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
    store(i, BFloat16::Encode(first * cosine - second * sine).bits);
    store(half + i, BFloat16::Encode(second * cosine + first * sine).bits);
  }
}

// Where a row's key and value of one head go.
__device__ __forceinline__ uint16_t* KeyAt(const CacheView& c, const CachePlace& at) {
  return c.k + (at.block_head * c.groups_per_block * kGroupTokens + at.group * kGroupTokens + at.offset) *
                   c.padded_dim;
}
__device__ __forceinline__ void AppendValue(const CacheView& c, const CachePlace& at, const uint16_t* x,
                                            int lane) {
  uint16_t* v =
      c.v + (at.block_head * c.groups_per_block + at.group) * c.padded_dim * kGroupTokens + at.offset;
  for (int i = lane; i < c.head_dim; i += kWarpLanes) v[i * kGroupTokens] = x[i];
}

// One warp a head of a row: q heads, then k heads, then v heads.
__global__ void RotateAndAppendKernel(CacheView c, RowsView qkv, StepView step, HeadNorms norms) {
  LetNextBegin();
  WaitForPrevious();
  const int row = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y),
            lane = static_cast<int>(threadIdx.x);
  const int position = step.positions[row];
  uint16_t* x = qkv.values + int64_t{row} * qkv.stride + head * c.head_dim;
  if (head < c.num_heads) {
    NormAndRotate(c, x, norms.q, norms.epsilon, position, lane, [&](int i, uint16_t bits) { x[i] = bits; });
    return;
  }
  const CachePlace at = PlaceOf(c, step, step.slots[row], position, (head - c.num_heads) % c.num_kv_heads);
  if (head >= c.num_heads + c.num_kv_heads) return AppendValue(c, at, x, lane);
  uint16_t* to = KeyAt(c, at);
  NormAndRotate(c, x, norms.k, norms.epsilon, position, lane,
                [&](int i, uint16_t bits) { x[i] = to[i] = bits; });
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

  // q_heads: [num_heads, head_dim]. Lane t owns dimensions 16 t .. 16 t + 15 of each 64.
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

// Partial results of some heads, in shared or in global memory.
struct Partials {
  const float* first;
  int count;                    // of each head, at most a warp's lanes
  int64_t stride, head_stride;  // in floats
};
static_assert(kMaxSplits <= kWarpLanes && kWarps <= kWarpLanes);

// What the partial results of each head are multiplied by when they are added up, in shared memory.
struct MergeFactors {
  float of[kTileHeads][kWarpLanes];
  float max[kTileHeads], sum[kTileHeads];  // of each head, all partial results together

  // A lane a partial result, so that all of them are loaded at once. The whole block calls.
  __device__ void Find(const Partials& p, int num_heads) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
    __syncthreads();
    for (int head = static_cast<int>(threadIdx.x) / kWarpLanes; head < num_heads; head += kWarps) {
      float2 header = make_float2(-INFINITY, 0.0f);
      if (lane < p.count)
        header = *reinterpret_cast<const float2*>(p.first + head * p.head_stride + lane * p.stride);
      float top = header.x;
      for (int distance = kWarpLanes / 2; distance > 0; distance /= 2)
        top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, distance));
      const float factor = header.x == -INFINITY ? 0.0f : exp2f(header.x - top);
      of[head][lane] = factor;
      const float total = WarpSum(header.y * factor);
      if (lane == 0) {
        max[head] = top;
        sum[head] = total;
      }
    }
    __syncthreads();
  }

  // Dimensions dim and dim + 1, in the order of the partial results.
  __device__ float2 Merge(const Partials& p, int head, int dim) const {
    constexpr int kInFlight = 8;
    const float* at = p.first + head * p.head_stride + kPartialHeader + dim;
    float2 value = make_float2(0.0f, 0.0f);
    for (int begin = 0; begin < p.count; begin += kInFlight) {
      float2 loaded[kInFlight];
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        if (begin + i < p.count) loaded[i] = *reinterpret_cast<const float2*>(at + (begin + i) * p.stride);
      }
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        if (begin + i >= p.count) break;
        value.x = fmaf(loaded[i].x, of[head][begin + i], value.x);
        value.y = fmaf(loaded[i].y, of[head][begin + i], value.y);
      }
    }
    return value;
  }
};

// The heads of a block, made ready from what the qkv linear left: q into `q` [num_heads, head_dim] of shared
// memory; where the row's own position is this block's, its key and value into the cache.
__device__ __forceinline__ void PrepareHeads(const CacheView& c, const uint16_t* qkv_row,
                                             const StepView& step, const HeadNorms& norms, int row,
                                             int first_head, int num_heads, int kv_head, bool appends,
                                             uint16_t* q) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes,
            lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int position = step.positions[row];
  // The last warps begin with key and value, the others with q heads.
  if (appends && warp >= kWarps - 2) {
    const CachePlace at = PlaceOf(c, step, step.slots[row], position, kv_head);
    const uint16_t* k = qkv_row + (c.num_heads + kv_head) * c.head_dim;
    if (warp == kWarps - 1) {
      uint16_t* to = KeyAt(c, at);
      NormAndRotate(c, k, norms.k, norms.epsilon, position, lane,
                    [&](int i, uint16_t bits) { to[i] = bits; });
    } else {
      AppendValue(c, at, k + c.num_kv_heads * c.head_dim, lane);
    }
  }
  for (int head = warp; head < num_heads; head += kWarps) {
    uint16_t* to = q + head * c.head_dim;
    NormAndRotate(c, qkv_row + (first_head + head) * c.head_dim, norms.q, norms.epsilon, position, lane,
                  [&](int i, uint16_t bits) { to[i] = bits; });
  }
}

// Begins to bring what this block will read into the L2 cache, while the qkv linear still runs. The position
// may be that of the step before: then the last group comes later. Nothing else is read before
// WaitForPrevious.
template <int kDims>
__device__ __forceinline__ void PrefetchGroups(const CacheView& c, const StepView& step, int first_row) {
  const int head_tiles = HeadTiles(c);
  if (blockIdx.y % head_tiles != 0) return;
  const int kv_head = static_cast<int>(blockIdx.y) / head_tiles;
  const int row = first_row + static_cast<int>(blockIdx.z), split = static_cast<int>(blockIdx.x);
  const Splits splits = SplitsOf(c, step.positions[row] + 1);
  const int32_t* table = step.block_tables + int64_t{step.slots[row]} * step.max_blocks;
  const int end = min((split + 1) * splits.each, splits.num_groups);
  for (int group = split * splits.each + static_cast<int>(threadIdx.x); group < end; group += kThreads) {
    const int64_t at =
        (int64_t{table[group / c.groups_per_block]} * c.num_kv_heads + kv_head) * c.groups_per_block +
        group % c.groups_per_block;
    PrefetchToL2(c.k + at * kGroupTokens * kDims, kGroupTokens * kDims * 2);
    PrefetchToL2(c.v + at * kGroupTokens * kDims, kGroupTokens * kDims * 2);
  }
}

// Block (split, kv head and tile of its heads, row). Warps take groups in turn; their results are merged in
// shared memory, those of the blocks by the block that comes last, both in a fixed order.
template <int kDims, bool kPrepares>
__global__ __launch_bounds__(kThreads) void AttentionKernel(CacheView c, RowsView out, RowsView qkv,
                                                            StepView step, RowForm form,
                                                            AttentionWorkspace workspace, HeadNorms norms,
                                                            int first_row) {
  LetNextBegin();
  if (kPrepares) {
    PrefetchGroups<kDims>(c, step, first_row);
    if (norms.q != nullptr) PrefetchFloats(norms.q, c.head_dim);
    if (norms.k != nullptr) PrefetchFloats(norms.k, c.head_dim);
    PrefetchFloats(c.inv_freq, c.head_dim / 2);
  }
  WaitForPrevious();
  extern __shared__ float shared[];
  const int heads_per_kv = c.heads_per_kv(), head_tiles = HeadTiles(c);
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
  const uint16_t* qkv_row = qkv.values + int64_t{row} * qkv.stride;
  if (kPrepares) {
    auto* q = reinterpret_cast<uint16_t*>(shared);  // until the results come
    PrepareHeads(c, qkv_row, step, norms, row, first_head, num_heads, kv_head, split == splits.count - 1, q);
    __syncthreads();
    mine.LoadQuery(q, num_heads, c.head_dim, lane);
    __syncthreads();
  } else {
    mine.LoadQuery(qkv_row + first_head * c.head_dim, num_heads, c.head_dim, lane);
  }
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
      *reinterpret_cast<float2*>(to + kPartialHeader + 8 * tile + 2 * t) =
          make_float2(mine.out[tile][2 * half], mine.out[tile][2 * half + 1]);
    }
  }
  __syncthreads();

  __shared__ MergeFactors factors;
  Partials results{shared, kWarps, kTileHeads * kStride, kStride};
  factors.Find(results, num_heads);
  const int num_pairs = num_heads * c.head_dim / 2;
  if (splits.count > 1) {
    // [row of the launch][head][split][header + kDims]
    float* all = workspace.partial + (int64_t{blockIdx.z} * c.num_heads + first_head) * kMaxSplits * kStride;
    const Partials of_row{all, splits.count, kStride, int64_t{kMaxSplits} * kStride};
    for (int i = static_cast<int>(threadIdx.x); i < num_pairs; i += kThreads) {
      const int head = 2 * i / c.head_dim, dim = 2 * i % c.head_dim;
      float* at = all + head * of_row.head_stride + split * of_row.stride;
      *reinterpret_cast<float2*>(at + kPartialHeader + dim) = factors.Merge(results, head, dim);
      if (dim == 0) *reinterpret_cast<float2*>(at) = make_float2(factors.max[head], factors.sum[head]);
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
    results = of_row;
    factors.Find(results, num_heads);
  }
  uint16_t* out_row = out.values + int64_t{row} * out.stride;
  for (int i = static_cast<int>(threadIdx.x); i - lane < num_pairs; i += kThreads) {
    const bool exists = i < num_pairs;
    const int head = exists ? 2 * i / c.head_dim : 0, dim = exists ? 2 * i % c.head_dim : 0;
    const int column = (first_head + head) * c.head_dim + dim;
    const float2 merged = factors.Merge(results, head, dim);
    float y[2] = {merged.x / factors.sum[head], merged.y / factors.sum[head]};
    if (!exists) y[0] = y[1] = 0;
    FormOfPair(y, column, form);
    if (exists) *reinterpret_cast<uint32_t*>(out_row + column) = PackBf16(y[0], y[1]);
  }
}

template <int kDims, bool kPrepares>
void LaunchDims(const CacheView& cache, RowsView out, RowsView qkv, const StepView& step, const RowForm& form,
                const AttentionWorkspace& workspace, int32_t max_context, int32_t num_rows,
                const HeadNorms& norms, cudaStream_t stream) {
  constexpr int kSharedBytes =
      kWarps * kTileHeads * (kPartialHeader + kDims) * static_cast<int>(sizeof(float));
  const auto kernel = AttentionKernel<kDims, kPrepares>;
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
    Launch(kernel, grid, dim3(kThreads), kSharedBytes, stream, cache, out, qkv, step, form, workspace, norms,
           first);
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
  const dim3 grid(static_cast<unsigned>(num_rows),
                  static_cast<unsigned>(cache.num_heads + 2 * cache.num_kv_heads));
  Launch(RotateAndAppendKernel, grid, dim3(kWarpLanes), 0, stream, cache, qkv, step, norms);
}

void LaunchAttention(const CacheView& cache, RowsView out, RowsView qkv, const StepView& step,
                     const RowForm& form, const AttentionWorkspace& workspace, int32_t max_context,
                     int32_t num_rows, const HeadNorms* norms, cudaStream_t stream) {
  const auto launch = [&](auto dims) {
    constexpr int kDims = decltype(dims)::value;
    const auto kernel = norms != nullptr ? LaunchDims<kDims, true> : LaunchDims<kDims, false>;
    kernel(cache, out, qkv, step, form, workspace, max_context, num_rows,
           norms != nullptr ? *norms : HeadNorms{}, stream);
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
