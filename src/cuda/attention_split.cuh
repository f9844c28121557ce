// What a block of attention does: one row, part of its context, the query heads that share a kv head.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/context_splits.h"
#include "cuda/group_ring.cuh"
#include "cuda/head_rotation.cuh"
#include "cuda/kernel_util.cuh"
#include "cuda/partial_attention.cuh"
#include "cuda/shared_barrier.cuh"
#include "cuda/warp_attention.cuh"

namespace fourstep::cuda {

// Warps 2 p and 2 p + 1 take the groups of part p of a split, each for half of the dimensions: so that their
// sums leave registers for several blocks an SM.
constexpr int kPairs = kSplitParts, kAttentionThreads = 2 * kPairs * kWarpLanes;

// Tiles of the query heads that share a kv head.
FOURSTEP_HD int HeadTiles(const CacheView& c) {
  return (c.heads_per_kv() + kTileQueries - 1) / kTileQueries;
}

// Shared memory of a block; kQueries: heads of a tile, at most.
template <class Cache, int kDims, int kQueries>
struct SplitMemory {
  struct Pair {
    union {
      GroupStage<Cache, kDims> stages[kRingStages<Cache, kDims>];
      float results[kQueries][kPartialStride<kDims>];  // when all groups have been read
    };
    RingBarriers<kRingStages<Cache, kDims>> barriers;
  };
  Pair pairs[kPairs];
  alignas(16) uint16_t q[kQueries * kQueryStride<kDims>];
  typename Cache::Value own[2][kDims];  // the row's key and value, by dimension, where the kernel rotates
};
static_assert(sizeof(SplitMemory<Bf16Cache, 256, kTileQueries>) <= 99 * 1024);  // what every device has

// One of the parts of a row's context, for the query heads of a tile that share a kv head.
template <class Cache, int kDims, bool kRotates, int kQueries>
class AttentionSplit {
 public:
  using Memory = SplitMemory<Cache, kDims, kQueries>;

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
    table_ = step.block_tables + int64_t{step.slots[row_]} * step.max_blocks;
    splits_ = SplitsOf(c_, position_ + 1);
    index_ = static_cast<int>(blockIdx.x);
    begin_ = index_ * splits_.each;
    end_ = min(begin_ + splits_.each, splits_.num_groups);
    part_ = (WarpIndex() % 2 == 0 ? KeysOf<Cache>(c_) : ValuesOf<Cache>(c_)) +
            int64_t{kv_head_} * c_.groups_per_block * kPartSize;
  }
  __device__ bool exists() const { return index_ < splits_.count; }

  // The whole of it. Pairs of warps take groups in turn, of which the first are under way before the kernel
  // that made the row has ended; their results are merged in shared memory, those of the splits by the block
  // that comes last, both in a fixed order.
  __device__ __forceinline__ void Run(Memory& memory) {
    const Lanes at;
    auto& mine = memory.pairs[at.pair];
    if (at.part == 0 && at.lane == 0) mine.barriers.Init();
    // Only the row's own key and value are made by this step. Where another kernel appends, it is the one
    // before.
    if (!kRotates) WaitForPrevious();
    SyncPair(at);
    Ring ring(mine.stages, mine.barriers, at.part, at.lane);
    FetchFirst(ring, at.pair);
    Prepare(memory, at);
    Warp warp(at.lane);
    SumGroups(warp, ring, memory, at);
    SyncPair(at);  // results go where the groups were
    warp.sums.AddLanes();
    warp.sums.Store(mine.results[0], kPartialStride<kDims>, num_heads_, Warp::first_dim(), at.lane);
    __syncthreads();
    Finish(memory);
  }

 private:
  struct Lanes {
    int warp = WarpIndex(), lane = LaneIndex(), pair = warp / 2, part = warp % 2;
  };
  static constexpr int kStride = kWorkspaceStride<kDims>, kPartSize = kGroupTokens * kDims;
  using Value = typename Cache::Value;
  using Ring = GroupRing<Cache, kDims>;
  using Stage = typename Ring::Stage;
  using Warp = WarpAttention<Cache, kDims, kDims / 2, 1, kQueries>;

  __device__ static void SyncPair(const Lanes& at) { SyncThreads(1 + at.pair, 2 * kWarpLanes); }

  // --- Groups

  // What this warp fetches of a group of the row, which is in `block` of the cache.
  __device__ Value* PartOf(int group, int block) const {
    const int in_block = group - BlockOf(c_, group) * c_.groups_per_block;
    return part_ + int64_t{block} * (c_.num_kv_heads * c_.groups_per_block * kPartSize) +
           in_block * kPartSize;
  }
  __device__ int ValidOf(int group) const {
    const int block = BlockOf(c_, group), in_block = (group - block * c_.groups_per_block) * kGroupTokens;
    return min(min(kGroupTokens, c_.block_tokens - in_block),
               position_ + 1 - (block * c_.block_tokens + in_block));
  }

  // All stages of the ring; then finds the group after those.
  __device__ __forceinline__ void FetchFirst(Ring& ring, int pair) {
    int blocks[Ring::kStages];
    next_ = begin_ + pair;
#pragma unroll
    for (int i = 0; i < Ring::kStages; ++i) {
      if (next_ + i * kPairs < end_) blocks[i] = table_[BlockOf(c_, next_ + i * kPairs)];
    }
#pragma unroll
    for (int i = 0; i < Ring::kStages; ++i, next_ += kPairs) {
      if (next_ < end_) ring.Fetch(PartOf(next_, blocks[i]));
    }
    FindNext();
  }
  __device__ __forceinline__ void FetchNext(Ring& ring) {
    ring.Fetch(PartOf(next_, next_block_));
    next_ += kPairs;
    FindNext();
  }
  __device__ __forceinline__ void FindNext() {
    if (next_ < end_) next_block_ = table_[BlockOf(c_, next_)];
  }

  __device__ __forceinline__ void SumGroups(Warp& warp, Ring& ring, Memory& memory, const Lanes& at) {
    const float scale = ScoreScale<Cache>(c_);
    for (int group = begin_ + at.pair; group < end_; group += kPairs) {
      auto& stage = ring.Wait();
      const int num_valid = ValidOf(group);
      if (kRotates && group + 1 == splits_.num_groups) Append(stage, group, num_valid - 1, memory, at);
      warp.LoadKeys(stage.keys());
      warp.Score(SharedQueries<kDims, kQueries>(memory.q, num_heads_, at.lane));
      warp.LoadValues(stage.values());
      const bool fetches = next_ < end_;
      ring.Advance(fetches);
      warp.Weigh(num_valid, num_valid, scale);
      if (fetches) FetchNext(ring);
      warp.MaskValues(num_valid);
      warp.Add();
    }
  }
  // The row's own key and value, at `offset` of the last group: to the cache, and to the stage, which was
  // fetched without them.
  __device__ __forceinline__ void Append(Stage& stage, int group, int offset, const Memory& memory,
                                         const Lanes& at) const {
    Value *to_stage = stage.parts[at.part], *to_cache = PartOf(group, table_[BlockOf(c_, group)]);
    for (int i = at.lane; i < c_.head_dim; i += kWarpLanes) {
      const int index = at.part == 0 ? offset * kDims + Cache::KeyIndex(i) : Cache::ValueIndex(i, offset);
      to_stage[index] = to_cache[index] = memory.own[at.part][i];
    }
    SyncPair(at);
  }

  // --- Before and after

  // q of the heads in shared memory, rotated where the call says so; then the split that comes last has the
  // row's key and value there too.
  __device__ __forceinline__ void Prepare(Memory& memory, const Lanes& at) const {
    const uint16_t* qkv = call_.qkv.values + int64_t{row_} * call_.qkv.stride;
    uint16_t* q = memory.q;
    if constexpr (kRotates) {
      const Rotation<kDims> rotation(c_, position_, at.lane);
      const HeadWeights<kDims> q_norm(c_, call_.norms.q, at.lane), k_norm(c_, call_.norms.k, at.lane);
      WaitForPrevious();
      // The last pair begins with key and value, the others with q heads.
      if (index_ == splits_.count - 1 && at.pair == kPairs - 1) {
        const uint16_t* k = qkv + (c_.num_heads + kv_head_) * c_.head_dim;
        Value* own = memory.own[at.part];
        if (at.part == 0) {
          NormAndRotate(c_, k, k_norm, call_.norms.epsilon, rotation, at.lane,
                        [&](int i, float value) { own[i] = Cache::Encode(value, c_.k_scale); });
        } else {
          const uint16_t* v = k + c_.num_kv_heads * c_.head_dim;
          for (int i = at.lane; i < c_.head_dim; i += kWarpLanes) own[i] = Cache::FromBf16(v[i], c_.v_scale);
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
  __device__ __forceinline__ void Finish(const Memory& memory) const {
    const Partials pairs{memory.pairs[0].results[0], sizeof(memory.pairs[0]) / sizeof(float),
                         kPartialStride<kDims>};
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
  int position_;
  const int32_t* table_;  // blocks of the row's sequence
  Splits splits_;
  int index_, begin_, end_;  // groups of this split: [begin_, end_)
  Value* part_;              // keys or values, which this warp fetches, of the kv head in block 0
  int next_, next_block_;    // group to be fetched next; the block of the cache it is in
};

}  // namespace fourstep::cuda
