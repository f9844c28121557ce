// What a block of attention does: one row, part of its context, the query heads that share a kv head.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/kernel_util.cuh"
#include "cuda/row_form.cuh"
#include "cuda/warp_attention.cuh"

namespace fourstep::cuda {

// Warps 2 p and 2 p + 1 take the same groups, p of kPairs, each for half of the dimensions: so that a group's
// keys and values can all be under way at a time and still leave registers for several blocks an SM.
constexpr int kPairs = 4, kAttentionThreads = 2 * kPairs * kWarpLanes;

__device__ __forceinline__ int Warp() {
  return static_cast<int>(threadIdx.x) / kWarpLanes;
}
__device__ __forceinline__ int Lane() {
  return static_cast<int>(threadIdx.x) % kWarpLanes;
}

// Tiles of the query heads that share a kv head.
FOURSTEP_HD int HeadTiles(const CacheView& c) {
  return (c.heads_per_kv() + kTileHeads - 1) / kTileHeads;
}

// Where a row's key or value of one head lies.
struct CachePlace {
  int64_t block_head;  // index of (block, kv head)
  int group, offset;   // within the block; within the group
};
__device__ __forceinline__ CachePlace PlaceOf(const CacheView& c, const StepView& step, int slot,
                                              int position, int kv_head) {
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

// How the context of a row is shared out: a function of its length alone.
struct Splits {
  int num_groups, count, each;
};
__host__ __device__ inline Splits SplitsOf(const CacheView& c, int length) {
  const int last = length - 1;
  const int groups = last / c.block_tokens * c.groups_per_block + last % c.block_tokens / kGroupTokens + 1;
  int count = (groups + kMinSplitGroups - 1) / kMinSplitGroups;
  count = count < kMaxSplits ? count : kMaxSplits;
  const int each = (groups + count - 1) / count;
  return {groups, (groups + each - 1) / each, each};
}

// Partial result of a head: its maximum, its sum, kDims weighted sums.
constexpr int kPartialHeader = 2;

// Partial results of some heads, in shared or in global memory.
struct Partials {
  const float* first;
  int count;                    // of each head, at most a warp's lanes
  int64_t stride, head_stride;  // in floats
};
static_assert(kMaxSplits <= kWarpLanes && kPairs <= kWarpLanes);

// What the partial results of each head are multiplied by when they are added up, in shared memory.
struct MergeFactors {
  float of[kTileHeads][kWarpLanes];
  float max[kTileHeads], sum[kTileHeads];  // of each head, all partial results together

  // A lane a partial result, so that all of them are loaded at once. The whole block calls.
  __device__ void Find(const Partials& p, int num_heads) {
    const int lane = Lane();
    __syncthreads();
    for (int head = Warp(); head < num_heads; head += 2 * kPairs) {
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

// What a block attends to: one of the parts of a row's context, for the query heads of a tile that share a kv
// head.
struct Split {
  int row, kv_head, head_tile, index;
};
struct SplitHeads {
  int first, count;
};
__device__ __forceinline__ SplitHeads HeadsOf(const CacheView& c, const Split& split) {
  const int each = c.heads_per_kv();
  return {split.kv_head * each + split.head_tile * kTileHeads,
          min(kTileHeads, each - split.head_tile * kTileHeads)};
}

// Shared memory of a block: factors, who came last, then q and later results [kPairs][heads of a
// tile][header + dims].
struct alignas(16) SplitMemory {
  MergeFactors factors;
  int arrived;
  __device__ float* results() { return reinterpret_cast<float*>(this + 1); }
  __device__ uint16_t* q() { return reinterpret_cast<uint16_t*>(this + 1); }
};
FOURSTEP_HD int TileHeads(const CacheView& c) {
  return c.heads_per_kv() < kTileHeads ? c.heads_per_kv() : kTileHeads;
}
FOURSTEP_HD int SplitBytes(const CacheView& c) {
  static_assert(kPairs * (kPartialHeader + 64) * sizeof(float) >= kQueryStride<64> * sizeof(uint16_t));
  const int results = kPairs * TileHeads(c) * (kPartialHeader + c.padded_dim);
  return static_cast<int>(sizeof(SplitMemory)) + results * static_cast<int>(sizeof(float));
}

// What attention of a row begins with: q of the split's heads in shared memory, rotated where the call says
// so; with `appends`, the row's own key and value into the cache.
template <int kDims, bool kRotates>
__device__ __forceinline__ void PrepareHeads(const AttentionCall& call, const StepView& step,
                                             const Split& split, const SplitHeads& heads, bool appends,
                                             uint16_t* q) {
  const CacheView& c = call.cache;
  const int warp = Warp(), lane = Lane(), position = step.positions[split.row];
  const uint16_t* qkv_row = call.qkv.values + int64_t{split.row} * call.qkv.stride;
  // The last warps begin with key and value, the others with q heads.
  if (kRotates && appends && warp >= 2 * kPairs - 2) {
    const CachePlace at = PlaceOf(c, step, step.slots[split.row], position, split.kv_head);
    const uint16_t* k = qkv_row + (c.num_heads + split.kv_head) * c.head_dim;
    if (warp == 2 * kPairs - 1) {
      uint16_t* to = KeyAt(c, at);
      NormAndRotate(c, k, call.norms.k, call.norms.epsilon, position, lane,
                    [&](int i, uint16_t bits) { to[i] = bits; });
    } else {
      AppendValue(c, at, k + c.num_kv_heads * c.head_dim, lane);
    }
  }
  for (int head = warp; head < heads.count; head += 2 * kPairs) {
    uint16_t* to = q + head * kQueryStride<kDims>;
    const uint16_t* from = qkv_row + (heads.first + head) * c.head_dim;
    for (int i = c.head_dim + lane; i < kDims; i += kWarpLanes) to[i] = 0;
    if (kRotates) {
      NormAndRotate(c, from, call.norms.q, call.norms.epsilon, position, lane,
                    [&](int i, uint16_t bits) { to[i] = bits; });
    } else {
      for (int i = lane; i < c.head_dim; i += kWarpLanes) to[i] = from[i];
    }
  }
}

// Begins to bring what a block will read into the L2 cache. The position may be that of the step before: then
// the last group comes later.
template <int kDims>
__device__ __forceinline__ void PrefetchSplit(const CacheView& c, const StepView& step, const Split& split) {
  if (split.head_tile != 0) return;
  const Splits splits = SplitsOf(c, step.positions[split.row] + 1);
  const int32_t* table = step.block_tables + int64_t{step.slots[split.row]} * step.max_blocks;
  const int end = min((split.index + 1) * splits.each, splits.num_groups);
  for (int group = split.index * splits.each + static_cast<int>(threadIdx.x); group < end;
       group += kAttentionThreads) {
    const int64_t at =
        (int64_t{table[group / c.groups_per_block]} * c.num_kv_heads + split.kv_head) * c.groups_per_block +
        group % c.groups_per_block;
    PrefetchToL2(c.k + at * kGroupTokens * kDims, kGroupTokens * kDims * 2);
    PrefetchToL2(c.v + at * kGroupTokens * kDims, kGroupTokens * kDims * 2);
  }
}

// A warp's results into shared memory: results [kPairs][tile_heads][header + kDims].
template <int kDims>
__device__ __forceinline__ void KeepResults(const WarpAttention<kDims>& mine, int num_heads, int tile_heads,
                                            float* results) {
  const int g = Lane() / 4, t = Lane() % 4;
  for (int half = 0; half < 2; ++half) {
    float sum = mine.sum[half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    if (g + 8 * half >= num_heads) continue;
    float* to = results + (Warp() / 2 * tile_heads + g + 8 * half) * (kPartialHeader + kDims);
    const int first_dim = Warp() % 2 * (kDims / 2);
    if (t == 0 && first_dim == 0) {
      to[0] = mine.max[half];
      to[1] = sum;
    }
    for (int tile = 0; tile < WarpAttention<kDims>::kDimTiles; ++tile) {
      *reinterpret_cast<float2*>(to + kPartialHeader + first_dim + 8 * tile + 2 * t) =
          make_float2(mine.out[tile][2 * half], mine.out[tile][2 * half + 1]);
    }
  }
}

// The splits of a row have partial results; true for the block that came last, once all can be read.
// `all`: those at `to` [heads][kMaxSplits][header + kDims]; `counter`: of the row and tile of heads.
template <int kDims>
__device__ __forceinline__ bool ShareResults(const CacheView& c, const Partials& mine, float* to,
                                             const Partials& all, int num_heads, int split, int32_t* counter,
                                             SplitMemory& memory) {
  for (int i = static_cast<int>(threadIdx.x); i < num_heads * c.head_dim / 2; i += kAttentionThreads) {
    const int head = 2 * i / c.head_dim, dim = 2 * i % c.head_dim;
    float* at = to + head * all.head_stride + split * all.stride;
    *reinterpret_cast<float2*>(at + kPartialHeader + dim) = memory.factors.Merge(mine, head, dim);
    if (dim == 0)
      *reinterpret_cast<float2*>(at) = make_float2(memory.factors.max[head], memory.factors.sum[head]);
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    memory.arrived = atomicAdd(counter, 1);
    if (memory.arrived == all.count - 1) *counter = 0;
  }
  __syncthreads();
  if (memory.arrived != all.count - 1) return false;
  __threadfence();
  return true;
}

// The whole of one split. Warps take groups in turn; their results are merged in shared memory, those of the
// splits by the block that comes last, both in a fixed order. `workspace_row`: of the workspace.
template <int kDims, bool kRotates>
__device__ __forceinline__ void AttendSplit(const AttentionCall& call, const StepView& step,
                                            const Split& split, int workspace_row, SplitMemory& memory) {
  const CacheView& c = call.cache;
  const SplitHeads heads = HeadsOf(c, split);
  const int length = step.positions[split.row] + 1;
  const Splits splits = SplitsOf(c, length);
  uint16_t* q = memory.q();
  PrepareHeads<kDims, kRotates>(call, step, split, heads, split.index == splits.count - 1, q);
  __syncthreads();
  WarpAttention<kDims> mine;
  const float scale = 1.4426950408889634f / sqrtf(static_cast<float>(c.head_dim));
  const int32_t* table = step.block_tables + int64_t{step.slots[split.row]} * step.max_blocks;
  const int end = min((split.index + 1) * splits.each, splits.num_groups);
  for (int group = split.index * splits.each + Warp() / 2; group < end; group += kPairs) {
    const int block = group / c.groups_per_block, in_block = group % c.groups_per_block;
    const int first = block * c.block_tokens + in_block * kGroupTokens;
    const int num_valid = min(min(kGroupTokens, c.block_tokens - in_block * kGroupTokens), length - first);
    const int64_t at =
        (int64_t{table[block]} * c.num_kv_heads + split.kv_head) * c.groups_per_block + in_block;
    mine.Attend(c.k + at * kGroupTokens * kDims, c.v + at * kGroupTokens * kDims, q, heads.count, num_valid,
                scale, Warp() % 2, Lane());
  }
  __syncthreads();  // results go where q was

  constexpr int kStride = kPartialHeader + kDims;
  KeepResults<kDims>(mine, heads.count, TileHeads(c), memory.results());
  Partials results{memory.results(), kPairs, TileHeads(c) * kStride, kStride};
  memory.factors.Find(results, heads.count);
  if (splits.count > 1) {
    float* to =
        call.workspace.partial + (int64_t{workspace_row} * c.num_heads + heads.first) * kMaxSplits * kStride;
    const Partials all{to, splits.count, kStride, int64_t{kMaxSplits} * kStride};
    int32_t* counter = call.workspace.arrived +
                       (workspace_row * c.num_kv_heads + split.kv_head) * HeadTiles(c) + split.head_tile;
    if (!ShareResults<kDims>(c, results, to, all, heads.count, split.index, counter, memory)) return;
    results = all;
    memory.factors.Find(results, heads.count);
  }
  uint16_t* out_row = call.out.values + int64_t{split.row} * call.out.stride;
  const int num_pairs = heads.count * c.head_dim / 2;
  for (int i = static_cast<int>(threadIdx.x); i - Lane() < num_pairs; i += kAttentionThreads) {
    const bool exists = i < num_pairs;
    const int head = exists ? 2 * i / c.head_dim : 0, dim = exists ? 2 * i % c.head_dim : 0;
    const int column = (heads.first + head) * c.head_dim + dim;
    const float2 merged = memory.factors.Merge(results, head, dim);
    float y[2] = {merged.x / memory.factors.sum[head], merged.y / memory.factors.sum[head]};
    if (!exists) y[0] = y[1] = 0;
    FormOfPair(y, column, call.form);
    if (exists) *reinterpret_cast<uint32_t*>(out_row + column) = PackBf16(y[0], y[1]);
  }
}

}  // namespace fourstep::cuda
