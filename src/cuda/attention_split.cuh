// What a block of attention does: one row, part of its context, the query heads that share a kv head.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/head_rotation.cuh"
#include "cuda/kernel_util.cuh"
#include "cuda/partial_attention.cuh"
#include "cuda/row_form.cuh"
#include "cuda/warp_attention.cuh"

namespace fourstep::cuda {

// Warps 2 p and 2 p + 1 take the same groups, p of kPairs, each for half of the dimensions: so that a group's
// keys and values can all be under way at a time and still leave registers for several blocks an SM.
constexpr int kPairs = 4, kAttentionThreads = 2 * kPairs * kWarpLanes;

// Tiles of the query heads that share a kv head.
FOURSTEP_HD int HeadTiles(const CacheView& c) {
  return (c.heads_per_kv() + kTileHeads - 1) / kTileHeads;
}
FOURSTEP_HD int TileHeads(const CacheView& c) {
  return c.heads_per_kv() < kTileHeads ? c.heads_per_kv() : kTileHeads;
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

// Shared memory of a block, in bytes: q, and where that was later the results of the pairs [kPairs][heads of
// a tile][header + dims].
FOURSTEP_HD int SplitBytes(const CacheView& c) {
  static_assert(kPairs * (kPartialHeader + 64) * sizeof(float) >= kQueryStride<64> * sizeof(uint16_t));
  return kPairs * TileHeads(c) * (kPartialHeader + c.padded_dim) * static_cast<int>(sizeof(float));
}

// One of the parts of a row's context, for the query heads of a tile that share a kv head.
template <int kDims, bool kRotates>
class AttentionSplit {
 public:
  // `head_tiles` of one kv head are neighbours in blockIdx.y; blockIdx.x is the part, blockIdx.z the row of
  // the launch. What it reads was there before the step, as no two steps overlap.
  __device__ AttentionSplit(const AttentionCall& call, const StepView& step, int first_row)
      : call_(call),
        c_(call.cache),
        workspace_row_(static_cast<int>(blockIdx.z)),
        row_(first_row + workspace_row_) {
    const int tiles = HeadTiles(c_), each = c_.heads_per_kv();
    kv_head_ = static_cast<int>(blockIdx.y) / tiles;
    const int tile = static_cast<int>(blockIdx.y) % tiles;
    first_head_ = kv_head_ * each + tile * kTileHeads;
    num_heads_ = min(kTileHeads, each - tile * kTileHeads);
    position_ = step.positions[row_];
    slot_ = step.slots[row_];
    table_ = step.block_tables + int64_t{slot_} * step.max_blocks;
    splits_ = SplitsOf(c_, position_ + 1);
    index_ = static_cast<int>(blockIdx.x);
    begin_ = index_ * splits_.each;
    end_ = min(begin_ + splits_.each, splits_.num_groups);
  }
  __device__ bool exists() const { return index_ < splits_.count; }

  // The whole of it. Pairs of warps take groups in turn; their results are merged in shared memory, those of
  // the splits by the block that comes last, both in a fixed order. `memory`: SplitBytes of it.
  __device__ __forceinline__ void Run(const StepView& step, float* memory) {
    const Lanes at;
    auto* q = reinterpret_cast<uint16_t*>(memory);
    WarpAttention<kDims> mine(at.warp % 2, at.lane);
    int group = begin_ + at.warp / 2;
    // Only the row's own key and value are made by this step. Where another kernel appends, it is the one
    // before.
    if (!kRotates) WaitForPrevious();
    const bool loads_early = group < end_ && !(kRotates && group + 1 == splits_.num_groups);
    if (loads_early) Load(mine, group);
    Prepare(step, at, q);
    if (!loads_early && group < end_) Load(mine, group);
    const float scale = 1.4426950408889634f / sqrtf(static_cast<float>(c_.head_dim));
    for (; group < end_; group += kPairs) {
      const int num_valid = ValidOf(group), next = group + kPairs;
      mine.Score(q, num_heads_);
      if (next < end_) mine.LoadKeys(KeysOf(next));
      mine.Weigh(num_valid, scale);
      mine.Add(num_valid);
      if (next < end_) mine.LoadValues(ValuesOf(next));
    }
    __syncthreads();  // results go where q was
    Keep(mine, at, memory);
    __syncthreads();
    Finish(memory);
  }

 private:
  struct Lanes {
    int warp = static_cast<int>(threadIdx.x) / kWarpLanes, lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  };
  static constexpr int kStride = kPartialHeader + kDims;

  // Index of a group of the cache, by that of the row's.
  __device__ int64_t GroupAt(int group) const {
    const int64_t block = table_[group / c_.groups_per_block];
    return (block * c_.num_kv_heads + kv_head_) * c_.groups_per_block + group % c_.groups_per_block;
  }
  __device__ const uint16_t* KeysOf(int group) const { return c_.k + GroupAt(group) * kGroupTokens * kDims; }
  __device__ const uint16_t* ValuesOf(int group) const {
    return c_.v + GroupAt(group) * kGroupTokens * kDims;
  }
  __device__ void Load(WarpAttention<kDims>& mine, int group) const {
    const int64_t at = GroupAt(group) * kGroupTokens * kDims;
    mine.LoadKeys(c_.k + at);
    mine.LoadValues(c_.v + at);
  }
  __device__ int ValidOf(int group) const {
    const int in_block = group % c_.groups_per_block * kGroupTokens;
    const int first = group / c_.groups_per_block * c_.block_tokens + in_block;
    return min(min(kGroupTokens, c_.block_tokens - in_block), position_ + 1 - first);
  }

  // q of the heads in shared memory, rotated where the call says so; then the split that comes last appends
  // the row's key and value.
  __device__ __forceinline__ void Prepare(const StepView& step, const Lanes& at, uint16_t* q) const {
    const uint16_t* qkv = call_.qkv.values + int64_t{row_} * call_.qkv.stride;
    if constexpr (kRotates) {
      const CachePlace place = PlaceOf(c_, step, slot_, position_, kv_head_);
      const Rotation<kDims> rotation(c_, position_, at.lane);
      const HeadWeights<kDims> q_norm(c_, call_.norms.q, at.lane), k_norm(c_, call_.norms.k, at.lane);
      WaitForPrevious();
      // The last warps begin with key and value, the others with q heads.
      if (index_ == splits_.count - 1 && at.warp >= 2 * kPairs - 2) {
        const uint16_t* k = qkv + (c_.num_heads + kv_head_) * c_.head_dim;
        if (at.warp == 2 * kPairs - 1) {
          uint16_t* to = KeyAt(c_, place);
          NormAndRotate(c_, k, k_norm, call_.norms.epsilon, rotation, at.lane,
                        [&](int i, uint16_t bits) { to[i] = bits; });
        } else {
          AppendValue(c_, place, k + c_.num_kv_heads * c_.head_dim, at.lane);
        }
      }
      for (int head = at.warp; head < num_heads_; head += 2 * kPairs) {
        uint16_t* to = q + head * kQueryStride<kDims>;
        NormAndRotate(c_, qkv + (first_head_ + head) * c_.head_dim, q_norm, call_.norms.epsilon, rotation,
                      at.lane, [&](int i, uint16_t bits) { to[i] = bits; });
      }
    } else {
      for (int head = at.warp; head < num_heads_; head += 2 * kPairs) {
        const uint16_t* from = qkv + (first_head_ + head) * c_.head_dim;
        for (int i = at.lane; i < c_.head_dim; i += kWarpLanes) q[head * kQueryStride<kDims> + i] = from[i];
      }
    }
    for (int head = at.warp; head < num_heads_; head += 2 * kPairs) {
      for (int i = c_.head_dim + at.lane; i < kDims; i += kWarpLanes) q[head * kQueryStride<kDims> + i] = 0;
    }
    __syncthreads();
  }

  // A warp's results into shared memory.
  __device__ __forceinline__ void Keep(const WarpAttention<kDims>& mine, const Lanes& at,
                                       float* results) const {
    const int g = at.lane / 4, t = at.lane % 4;
    for (int half = 0; half < 2; ++half) {
      float sum = mine.sum[half];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      if (g + 8 * half >= num_heads_) continue;
      float* to = results + (at.warp / 2 * TileHeads(c_) + g + 8 * half) * kStride;
      const int first_dim = at.warp % 2 * (kDims / 2);
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

  // From the results of the pairs to the output, by way of those of all splits where there are several.
  __device__ __forceinline__ void Finish(const float* results) const {
    const Partials pairs{results, TileHeads(c_) * kStride, kStride};
    if (splits_.count == 1) return Store(pairs, std::integral_constant<int, kPairs>{}, kPairs);
    float* to = call_.workspace.partial +
                (int64_t{workspace_row_} * c_.num_heads + first_head_) * kMaxSplits * kStride;
    const Partials all{to, kStride, kMaxSplits * kStride};
    for (int i = static_cast<int>(threadIdx.x); i < num_heads_ * c_.head_dim / 2; i += kAttentionThreads) {
      const int head = 2 * i / c_.head_dim, dim = 2 * i % c_.head_dim;
      const Merged merged = Merge<kPairs>(pairs, kPairs, head, dim);
      float* at = to + head * all.head_stride + index_ * kStride;
      *reinterpret_cast<float2*>(at + kPartialHeader + dim) = merged.values;
      if (dim == 0) *reinterpret_cast<float2*>(at) = make_float2(merged.max, merged.sum);
    }
    if (!IsLast()) return;
    if (splits_.count <= kMaxSplits / 2) {
      Store(all, std::integral_constant<int, kMaxSplits / 2>{}, splits_.count);
    } else {
      Store(all, std::integral_constant<int, kMaxSplits>{}, splits_.count);
    }
  }

  // Whether all splits of the row and heads have stored their results; then they can be read.
  __device__ __forceinline__ bool IsLast() const {
    __shared__ int arrived;
    __syncthreads();
    if (threadIdx.x == 0) {
      int32_t* counter = call_.workspace.arrived + int64_t{workspace_row_} * gridDim.y + blockIdx.y;
      __threadfence();
      arrived = atomicAdd(counter, 1);
      if (arrived == splits_.count - 1) *counter = 0;
      __threadfence();
    }
    __syncthreads();
    return arrived == splits_.count - 1;
  }

  // Merges `count` partial results, kMost at most, into the output of the row.
  template <class Most>
  __device__ __forceinline__ void Store(const Partials& partials, Most, int count) const {
    uint16_t* out = call_.out.values + int64_t{row_} * call_.out.stride;
    const int num_pairs = num_heads_ * c_.head_dim / 2, lane = static_cast<int>(threadIdx.x) % kWarpLanes;
    for (int i = static_cast<int>(threadIdx.x); i - lane < num_pairs; i += kAttentionThreads) {
      const bool exists = i < num_pairs;
      const int head = exists ? 2 * i / c_.head_dim : 0, dim = exists ? 2 * i % c_.head_dim : 0;
      const int column = (first_head_ + head) * c_.head_dim + dim;
      const Merged merged = Merge<Most::value>(partials, count, head, dim);
      float y[2] = {merged.values.x / merged.sum, merged.values.y / merged.sum};
      if (!exists) y[0] = y[1] = 0;
      FormOfPair(y, column, call_.form);
      if (exists) *reinterpret_cast<uint32_t*>(out + column) = PackBf16(y[0], y[1]);
    }
  }

  const AttentionCall& call_;
  const CacheView& c_;
  int workspace_row_, row_, kv_head_, first_head_, num_heads_;
  int position_, slot_;
  const int32_t* table_;  // blocks of the row's sequence
  Splits splits_;
  int index_, begin_, end_;  // groups of this split: [begin_, end_)
};

}  // namespace fourstep::cuda
