// What a block of attention does: one row, part of its context, the query heads that share a kv head.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/attention.h"
#include "cuda/context_splits.h"
#include "cuda/head_rotation.cuh"
#include "cuda/kernel_util.cuh"
#include "cuda/partial_attention.cuh"
#include "cuda/split_memory.cuh"
#include "cuda/warp_attention.cuh"

namespace fourstep::cuda {

// Successive splits of a row's context, for the query heads of a tile that share a kv head. A warp has kHeld
// groups under way at a time, from one split to the next too. With more than one a block has one split.
template <class Cache, int kDims, bool kRotates, int kQueries, int kHeld>
class AttentionSplit {
 public:
  using Memory = SplitMemory<Cache, kDims, kQueries>;

  // Tiles of one kv head are neighbours in blockIdx.y; blockIdx.z is the row of the launch, of which `first`
  // is the first; blockIdx.x is one of the `blocks` of a row.
  __device__ AttentionSplit(const AttentionCall& call, const StepView& step, const int32_t* alone, int first,
                            const Divisor& blocks)
      : call_(call), c_(call.cache), blocks_of_row_(blocks) {
    workspace_row_ = static_cast<int>(blockIdx.z);
    row_ = alone != nullptr ? alone[2 * (first + workspace_row_)] : first + workspace_row_;
    const int tiles = HeadTiles(c_), each = c_.heads_per_kv();
    kv_head_ = static_cast<int>(blockIdx.y);
    int tile = 0;
    if (tiles > 1) {  // few models; dividing takes thirty instructions
      tile = kv_head_ % tiles;
      kv_head_ /= tiles;
    }
    first_head_ = kv_head_ * each + tile * kTileQueries;
    num_heads_ = min(kTileQueries, each - tile * kTileQueries);
  }

  // The whole of it. Pairs of warps take groups in turn; their results are merged in shared memory, those of
  // the splits by the block that comes last, both in a fixed order.
  //
  // What it reads was there before the step, but for the row: no two steps overlap. In a step a block begins
  // when the linear that makes the row leaves the SM, so every load that waits for another is half a
  // microsecond of the step: what depends on nothing is asked for first, then the blocks of the cache, then
  // keys and values, and then the row.
  __device__ __forceinline__ void Run(const StepView& step, Memory& memory) {
    const Lanes at;
    const int position = step.positions[row_], slot = step.slots[row_];
    const Tables tables(call_, at.lane);
    FindSplit(position, step.block_tables + int64_t{slot} * step.max_blocks);
    if (mine_.first >= splits_.count) return;
    // Where another kernel appends the row's own key and value, it is the one before.
    if (!kRotates) WaitForPrevious();
    Warp warp(at.lane);
    const int first = begin_ + at.warp / 2;
    int blocks[kHeld];
    FindBlocks(first, blocks);
    FindBlocks(first + kHeld * kPairs, blocks_);
    const int own_block = kRotates ? table_[position_ / c_.block_tokens] : 0;
#pragma unroll
    for (int n = 0; n < kHeld; ++n) {
      const int group = first + n * kPairs;
      if (group >= end_) continue;
      const int64_t place = PlaceOfGroup(group, blocks[n]);
      warp.LoadKeys(KeysOf<Cache>(c_) + place, n);
      warp.LoadValues(ValuesOf<Cache>(c_) + place, n);
    }
    if constexpr (kRotates) {
      Prepare(step, tables, own_block, memory, at);
    } else {
      CopyQueries(memory, at);
    }
    __syncthreads();
    SumSplits(warp, first, memory, at);
    __syncthreads();
    Finish(memory.results());
  }

 private:
  struct Lanes {
    int warp = WarpIndex(), lane = LaneIndex();
  };
  // What rotating takes beside the row: the same in every step.
  struct RotationTables {
    HeadWeights<kDims> q_norm, k_norm;
    __device__ RotationTables(const AttentionCall& call, int lane)
        : q_norm(call.cache, call.norms.q, lane), k_norm(call.cache, call.norms.k, lane) {}
  };
  struct NoTables {
    __device__ NoTables(const AttentionCall&, int) {}
  };
  using Tables = std::conditional_t<kRotates, RotationTables, NoTables>;
  static constexpr int kKeyWarp = 2 * kPairs - 1, kValueWarp = kKeyWarp - 1;
  static constexpr bool kHasOneSplit = kHeld > 1;
  static constexpr int kStride = kWorkspaceStride<kDims>;
  using Value = typename Cache::Value;
  using Warp = WarpAttention<Cache, kDims, kDims / 2, kHeld, kHeld, kQueries>;

  // --- Groups

  // The blocks of the cache that have some groups of this warp, from `group` on: found long before the groups
  // are loaded.
  __device__ __forceinline__ void FindBlocks(int group, int (&blocks)[kHeld]) const {
#pragma unroll
    for (int n = 0; n < kHeld; ++n) {
      if (group + n * kPairs < end_) blocks[n] = table_[BlockOf(c_, group + n * kPairs)];
    }
  }
  // Where the keys of a group of the row begin, which is in `block` of the cache; and its values.
  __device__ int64_t PlaceOfGroup(int group, int block) const {
    const int in_block = group - BlockOf(c_, group) * c_.groups_per_block;
    return ((int64_t{block} * c_.num_kv_heads + kv_head_) * c_.groups_per_block + in_block) *
           (kGroupTokens * kDims);
  }
  __device__ int ValidOf(int group) const {
    const int block = BlockOf(c_, group), in_block = (group - block * c_.groups_per_block) * kGroupTokens;
    return min(min(kGroupTokens, c_.block_tokens - in_block),
               position_ + 1 - (block * c_.block_tokens + in_block));
  }

  // Of the warp that has loaded the groups from `first` on. All splits but the row's last are whole steps.
  __device__ __forceinline__ void SumSplits(Warp& warp, int first, Memory& memory, const Lanes& at) {
    float* to = memory.results() + at.warp / 2 * Memory::PairFloats(c_);
    for (int end = begin_; end < end_;) {
      end = min(end + splits_.each, end_);
      SumGroups(warp, first, end, memory, at);
      warp.sums.AddLanes();
      warp.sums.Store(to, kPartialStride<kDims>, num_heads_, Warp::first_dim(), at.lane);
      if constexpr (kHasOneSplit) return;
      warp.sums = {};
      to += kPairs * Memory::PairFloats(c_);
    }
  }
  // Those of a split, which ends at `end`.
  __device__ __forceinline__ void SumGroups(Warp& warp, int& first, int end, const Memory& memory,
                                            const Lanes& at) {
    const float scale = ScoreScale<Cache>(c_);
    constexpr int kStep = kHeld * kPairs;
    static_assert(kMinSplitGroups % kStep == 0);
    for (; first < end; first += kStep) {
#pragma unroll
      for (int n = 0; n < kHeld; ++n) {  // it may have been loaded before it was there
        const int group = first + n * kPairs;
        if (kRotates && group + 1 == splits_.num_groups)
          warp.Replace(ValidOf(group) - 1, memory.own[0], memory.own[1], n);
      }
      warp.Score(SharedQueries<kDims, kQueries>(memory.q, num_heads_, at.lane));
      int next[kHeld];
#pragma unroll
      for (int n = 0; n < kHeld; ++n) {
        const int group = first + kStep + n * kPairs;
        next[n] = blocks_[n];
        if (group < end_) warp.LoadKeys(KeysOf<Cache>(c_) + PlaceOfGroup(group, next[n]), n);
      }
      FindBlocks(first + 2 * kStep, blocks_);
#pragma unroll
      for (int n = 0; n < kHeld; ++n) {
        const int group = first + n * kPairs;
        if (group >= end) break;
        const int num_valid = ValidOf(group);
        warp.Weigh(num_valid, num_valid, scale, n);
        warp.MaskValues(num_valid, n);
        warp.Add(n);
        if (group + kStep < end_)
          warp.LoadValues(ValuesOf<Cache>(c_) + PlaceOfGroup(group + kStep, next[n]), n);
      }
    }
  }

  // --- Before and after

  __device__ __forceinline__ void FindSplit(int position, const int32_t* table) {
    position_ = position;
    table_ = table;
    splits_ = SplitsOf(c_, position + 1);
    const int block = static_cast<int>(blockIdx.x);
    mine_ = kHasOneSplit ? SplitRange{block, 1} : SplitsOfBlock(splits_.count, block, blocks_of_row_);
    begin_ = mine_.first * splits_.each;
    end_ = min(begin_ + mine_.count * splits_.each, splits_.num_groups);
  }
  // Head `head` of the row, of q heads, k heads and v heads.
  __device__ const uint16_t* HeadAt(int head) const {
    return call_.qkv.values + int64_t{row_} * call_.qkv.stride + head * c_.head_dim;
  }

  // What a warp prepares first: the last two key and value, the others a q head each.
  __device__ const uint16_t* FirstHead(int warp) const {
    if (warp == kKeyWarp) return HeadAt(c_.num_heads + kv_head_);
    if (warp == kValueWarp) return HeadAt(c_.num_heads + c_.num_kv_heads + kv_head_);
    return HeadAt(first_head_ + min(warp, num_heads_ - 1));
  }

  // q of the heads in shared memory, rotated; and the block of the last split appends the row's key and value
  // to block `own_block` of the cache, and has them in shared memory too.
  __device__ __forceinline__ void Prepare(const StepView& step, const Tables& tables, int own_block,
                                          Memory& memory, const Lanes& at) const {
    WaitForPrevious();
    const HeadBits<kDims> bits(c_, FirstHead(at.warp), at.lane);
    const Rotation<kDims> rotation(c_, step, row_, at.lane);
    if (at.warp >= kValueWarp) {
      if (end_ == splits_.num_groups) Append(tables, bits, rotation, own_block, memory, at);
    } else if (at.warp < num_heads_) {
      PrepareQuery(tables, bits, rotation, at.warp, memory, at);
    }
    const int next = at.warp >= kValueWarp ? at.warp : at.warp + 2 * kPairs;
    for (int head = next; head < num_heads_; head += 2 * kPairs)
      PrepareQuery(tables, {c_, HeadAt(first_head_ + head), at.lane}, rotation, head, memory, at);
  }
  __device__ __forceinline__ void PrepareQuery(const Tables& tables, const HeadBits<kDims>& bits,
                                               const Rotation<kDims>& rotation, int head, Memory& memory,
                                               const Lanes& at) const {
    uint16_t* to = memory.q + head * kQueryStride<kDims>;
    NormAndRotate(c_, bits, tables.q_norm, call_.norms.epsilon, rotation, at.lane,
                  [&](int i, float value) { to[i] = BFloat16::Encode(value).bits; });
    for (int i = c_.head_dim + at.lane; i < kDims; i += kWarpLanes) to[i] = 0;
  }
  __device__ __forceinline__ void Append(const Tables& tables, const HeadBits<kDims>& bits,
                                         const Rotation<kDims>& rotation, int own_block, Memory& memory,
                                         const Lanes& at) const {
    const CachePlace place = PlaceOf(c_, own_block, position_, kv_head_);
    if (at.warp == kKeyWarp) {
      Value *own = memory.own[0], *to = KeyAt<Cache>(c_, place);
      for (int i = c_.head_dim + at.lane; i < kDims; i += kWarpLanes) own[Cache::KeyIndex(i)] = 0;
      NormAndRotate(c_, bits, tables.k_norm, call_.norms.epsilon, rotation, at.lane, [&](int i, float value) {
        const int index = Cache::KeyIndex(i);
        own[index] = to[index] = Cache::Encode(value, c_.k_scale);
      });
    } else {
      Value *own = memory.own[1], *to = ValueAt<Cache>(c_, place);
      for (int i = c_.head_dim + at.lane; i < kDims; i += kWarpLanes) own[i] = 0;
      EncodeValue<Cache>(c_, bits, at.lane, [&](int i, Value value) {
        own[i] = to[Cache::ValueIndex(i, place.offset)] = value;
      });
    }
  }
  // q as another kernel has rotated it.
  __device__ __forceinline__ void CopyQueries(Memory& memory, const Lanes& at) const {
    for (int head = at.warp; head < num_heads_; head += 2 * kPairs)
      CopyQuery<kDims>(c_, HeadAt(first_head_ + head), memory.q + head * kQueryStride<kDims>, at.lane);
    EndCopyBatch();
    WaitForCopies<0>();
  }

  // From the results of the pairs to the output, by way of those of all splits where there are several.
  __device__ __forceinline__ void Finish(const float* results) const {
    Partials pairs{results, Memory::PairFloats(c_), kPartialStride<kDims>};
    if (splits_.count == 1) return Store<kPairs>(pairs, kPairs);
    float* to = WorkspaceOf<kDims>(call_, workspace_row_, first_head_);
    const Partials all{to, kStride, kMaxSplits * kStride};
    const int end = mine_.first + (kHasOneSplit ? 1 : mine_.count);
    for (int split = mine_.first; split < end; ++split) {
      ForDimPairs(c_.head_dim, num_heads_, 2 * kPairs, [&](int head, int dim, bool exists) {
        if (!exists) return;
        const Merged merged = Merge<kPairs>(pairs, kPairs, head, dim);
        float* at = to + head * all.head_stride + split * kStride;
        *reinterpret_cast<float2*>(at + kPartialHeader + dim) = merged.values;
        if (dim == 0) *reinterpret_cast<float2*>(at) = make_float2(merged.max, merged.sum);
      });
      pairs.first += kPairs * Memory::PairFloats(c_);
    }
    int32_t* arrived = call_.workspace.arrived + int64_t{workspace_row_} * gridDim.y + blockIdx.y;
    if (!IsLast(arrived, kHasOneSplit ? splits_.count : min(splits_.count, int32_t{blocks_of_row_}))) return;
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
  int position_;
  const int32_t* table_;  // blocks of the row's sequence
  Splits splits_;         // of the row
  const Divisor& blocks_of_row_;
  SplitRange mine_;    // of the splits
  int begin_, end_;    // their groups: [begin_, end_)
  int blocks_[kHeld];  // of the cache, that have the groups to be loaded next
};

}  // namespace fourstep::cuda
