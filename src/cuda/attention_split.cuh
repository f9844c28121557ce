// What a block of attention does: one row, part of its context, the query heads that share a kv head.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/context_splits.h"
#include "cuda/head_rotation.cuh"
#include "cuda/kernel_util.cuh"
#include "cuda/partial_attention.cuh"
#include "cuda/warp_attention.cuh"

namespace fourstep::cuda {

// Warps 2 p and 2 p + 1 take the groups of part p of a split, each for half of the dimensions: so that a
// group's keys and values can all be under way at a time and still leave registers for several blocks an SM.
constexpr int kPairs = kSplitParts, kAttentionThreads = 2 * kPairs * kWarpLanes;

// Tiles of the query heads that share a kv head.
FOURSTEP_HD int HeadTiles(const CacheView& c) {
  return (c.heads_per_kv() + kTileQueries - 1) / kTileQueries;
}
FOURSTEP_HD int TileHeads(const CacheView& c) {
  return c.heads_per_kv() < kTileQueries ? c.heads_per_kv() : kTileQueries;
}

// Shared memory of a block, in bytes: q, and where that was later the results of the pairs [kPairs][heads of
// a tile][kPartialStride].
template <int kDims>
FOURSTEP_HD int SplitBytes(int tile_heads) {
  static_assert(kPairs * kPartialStride<kDims> * sizeof(float) >= kQueryStride<kDims> * sizeof(uint16_t));
  return kPairs * tile_heads * kPartialStride<kDims> * static_cast<int>(sizeof(float));
}

// One of the parts of a row's context, for the query heads of a tile that share a kv head.
template <class Cache, int kDims, bool kRotates>
class AttentionSplit {
 public:
  // Tiles of one kv head are neighbours in blockIdx.y; blockIdx.x is the split, blockIdx.z the row of the
  // launch, of which `first` is the first. What it reads was there before the step, as no two steps overlap.
  __device__ AttentionSplit(const AttentionCall& call, const StepView& step, const int32_t* alone, int first)
      : call_(call), c_(call.cache), workspace_row_(static_cast<int>(blockIdx.z)) {
    row_ = alone != nullptr ? alone[2 * (first + workspace_row_)] : first + workspace_row_;
    const int tiles = HeadTiles(c_), each = c_.heads_per_kv();
    kv_head_ = static_cast<int>(blockIdx.y) / tiles;
    const int tile = static_cast<int>(blockIdx.y) % tiles;
    first_head_ = kv_head_ * each + tile * kTileQueries;
    num_heads_ = min(kTileQueries, each - tile * kTileQueries);
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
    Warp mine(at.lane);
    int group = begin_ + at.warp / 2;
    // Only the row's own key and value are made by this step. Where another kernel appends, it is the one
    // before.
    if (!kRotates) WaitForPrevious();
    const bool loads_early = group < end_ && !(kRotates && group + 1 == splits_.num_groups);
    if (loads_early) Load(mine, group);
    Prepare(step, at, q);
    if (!loads_early && group < end_) Load(mine, group);
    const float scale = ScoreScale<Cache>(c_);
    for (; group < end_; group += kPairs) {
      const int num_valid = ValidOf(group), next = group + kPairs;
      mine.Score(SharedQueries<kDims>(q, num_heads_, at.lane));
      if (next < end_) mine.LoadKeys(KeysAt(next));
      mine.Weigh(num_valid, num_valid, scale);
      mine.MaskValues(num_valid);
      mine.Add();
      if (next < end_) mine.LoadValues(ValuesAt(next));
    }
    mine.sums.AddLanes();
    __syncthreads();  // results go where q was
    mine.sums.Store(memory + at.warp / 2 * TileHeads(c_) * kPartialStride<kDims>, kPartialStride<kDims>,
                    num_heads_, Warp::first_dim(), at.lane);
    __syncthreads();
    Finish(memory);
  }

 private:
  struct Lanes {
    int warp = static_cast<int>(threadIdx.x) / kWarpLanes, lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  };
  static constexpr int kStride = kWorkspaceStride<kDims>;
  using Value = typename Cache::Value;
  using Warp = WarpAttention<Cache, kDims, kDims / 2, 1>;

  // Index of a group of the cache, by that of the row's.
  __device__ int64_t GroupAt(int group) const {
    const int64_t block = table_[group / c_.groups_per_block];
    return (block * c_.num_kv_heads + kv_head_) * c_.groups_per_block + group % c_.groups_per_block;
  }
  __device__ const Value* KeysAt(int group) const {
    return KeysOf<Cache>(c_) + GroupAt(group) * kGroupTokens * kDims;
  }
  __device__ const Value* ValuesAt(int group) const {
    return ValuesOf<Cache>(c_) + GroupAt(group) * kGroupTokens * kDims;
  }
  __device__ void Load(Warp& mine, int group) const {
    const int64_t at = GroupAt(group) * kGroupTokens * kDims;
    mine.LoadKeys(KeysOf<Cache>(c_) + at);
    mine.LoadValues(ValuesOf<Cache>(c_) + at);
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
          Value* to = KeyAt<Cache>(c_, place);
          NormAndRotate(c_, k, k_norm, call_.norms.epsilon, rotation, at.lane, [&](int i, float value) {
            to[Cache::KeyIndex(i)] = Cache::Encode(value, c_.k_scale);
          });
        } else {
          AppendValue<Cache>(c_, place, k + c_.num_kv_heads * c_.head_dim, at.lane);
        }
      }
      for (int head = at.warp; head < num_heads_; head += 2 * kPairs) {
        uint16_t* to = q + head * kQueryStride<kDims>;
        NormAndRotate(c_, qkv + (first_head_ + head) * c_.head_dim, q_norm, call_.norms.epsilon, rotation,
                      at.lane, [&](int i, float value) { to[i] = BFloat16::Encode(value).bits; });
        for (int i = c_.head_dim + at.lane; i < kDims; i += kWarpLanes) to[i] = 0;
      }
    } else {
      for (int head = at.warp; head < num_heads_; head += 2 * kPairs)
        CopyQuery<kDims>(c_, qkv + (first_head_ + head) * c_.head_dim, q + head * kQueryStride<kDims>,
                         at.lane);
      EndCopyBatch();
      WaitForCopies<0>();
    }
    __syncthreads();
  }

  // From the results of the pairs to the output, by way of those of all splits where there are several.
  __device__ __forceinline__ void Finish(const float* results) const {
    const Partials pairs{results, TileHeads(c_) * kPartialStride<kDims>, kPartialStride<kDims>};
    if (splits_.count == 1) return Store<kPairs>(pairs, kPairs);
    float* to = WorkspaceOf<kDims>(call_, workspace_row_, first_head_);
    const Partials all{to, kStride, kMaxSplits * kStride};
    ForDimPairs(c_.head_dim, num_heads_, 2 * kPairs, [&](int head, int dim, bool exists) {
      if (!exists) return;
      const Merged merged = Merge<kPairs>(pairs, kPairs, head, dim);
      float* at = to + head * all.head_stride + index_ * kStride;
      *reinterpret_cast<float2*>(at + kPartialHeader + dim) = merged.values;
      if (dim == 0) *reinterpret_cast<float2*>(at) = make_float2(merged.max, merged.sum);
    });
    int32_t* arrived = call_.workspace.arrived + int64_t{workspace_row_} * gridDim.y + blockIdx.y;
    if (!IsLast(arrived, splits_.count)) return;
    if (splits_.count <= kMaxSplits / 2) {
      Store<kMaxSplits / 2>(all, splits_.count);
    } else {
      Store<kMaxSplits>(all, splits_.count);
    }
  }

  template <int kMost>
  __device__ __forceinline__ void Store(const Partials& partials, int count) const {
    StoreHeads<Cache, kMost>(call_, row_, first_head_, num_heads_, partials, count, 2 * kPairs);
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
