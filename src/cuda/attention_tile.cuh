// What a block of attention does where rows of one sequence stand together: a tile of them, some of the query
// heads that share a kv head, all of the context or some of its splits.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/context_splits.h"
#include "cuda/partial_attention.cuh"
#include "cuda/shared_copy.cuh"
#include "cuda/staged_step.cuh"
#include "cuda/warp_attention.cuh"

namespace fourstep::cuda {

// A block has teams of one warp a head; they take splits in turn, a round each at a time.
constexpr int kTeams = 2, kMaxTeamHeads = 4, kMaxTileThreads = kTeams * kMaxTeamHeads * kWarpLanes;
static_assert(kMinSplitGroups % (kStepGroups * kSplitParts) == 0 && kTileRows == kTileQueries);

// Blocks that share the heads of a kv head, and heads of each at most.
FOURSTEP_HD int BlocksOfKvHead(const CacheView& c) {
  return (c.heads_per_kv() + kMaxTeamHeads - 1) / kMaxTeamHeads;
}
FOURSTEP_HD int TeamHeads(const CacheView& c) {
  return (c.heads_per_kv() + BlocksOfKvHead(c) - 1) / BlocksOfKvHead(c);
}
FOURSTEP_HD int TileThreads(const CacheView& c) {
  return kTeams * TeamHeads(c) * kWarpLanes;
}

// Shared memory of a block, in bytes: the sums of each head [kTileRows][kPartialStride], and before that the
// queries; then for each team the step in use and the one under way.
template <class Cache, int kDims>
FOURSTEP_HD constexpr int TileBytes(int team_heads) {
  return team_heads * kTileRows * kPartialStride<kDims> * static_cast<int>(sizeof(float)) +
         kTeams * (Cache::kIsFp8 ? static_cast<int>(sizeof(StagedStep<kDims>) + sizeof(CodedStep<kDims>))
                                 : 2 * static_cast<int>(sizeof(StagedStep<kDims>)));
}
static_assert(TileBytes<Bf16Cache, kMaxTileDims>(kMaxTeamHeads) <= 99 * 1024);  // what every device has

template <class Cache, int kDims>
class AttentionTile {
 public:
  // `memory`: TileBytes of it. Blocks of one kv head are neighbours in blockIdx.y; blockIdx.z is the tile.
  // Where gridDim.x is 1 the block has all rounds and stores the output, else block x has rounds x, x +
  // gridDim.x ... and stores partial results. What is read here was there before the step.
  __device__ AttentionTile(const AttentionCall& call, const StepView& step, const int32_t* tiles,
                           float* memory)
      : call_(call),
        c_(call.cache),
        team_heads_(TeamHeads(c_)),
        first_row_(tiles[2 * blockIdx.z]),
        num_rows_(tiles[2 * blockIdx.z + 1]),
        totals_(memory) {
    const int warp = WarpIndex();
    lane_ = LaneIndex();
    team_ = warp / team_heads_;
    head_ = warp % team_heads_;
    kv_head_ = static_cast<int>(blockIdx.y) / BlocksOfKvHead(c_);
    position_ = step.positions[first_row_];
    table_ = step.block_tables + int64_t{step.slots[first_row_]} * step.max_blocks;
    splits_ = SplitsOf(c_, position_ + num_rows_);
    auto* steps = reinterpret_cast<StagedStep<kDims>*>(memory + team_heads_ * kHeadFloats);
    staged_ = steps + team_ * (Cache::kIsFp8 ? 1 : 2);
    if constexpr (Cache::kIsFp8) coded_ = reinterpret_cast<CodedStep<kDims>*>(steps + kTeams) + team_;
    next_split_ = (static_cast<int>(blockIdx.x) * kTeams + team_) * splits_.each;
    next_ = next_split_;
    FindNext();
  }
  __device__ bool exists() const { return static_cast<int>(blockIdx.x) * kTeams < splits_.count; }

  __device__ __forceinline__ void Run() {
    WaitForPrevious();
    CopyQueries();
    CopyNext();
    const HeldQueries<kDims> queries = LoadQueries();
    const bool has_all = gridDim.x == 1;
    for (int split = static_cast<int>(blockIdx.x) * kTeams; split < splits_.count;
         split += static_cast<int>(gridDim.x) * kTeams) {
      const TileSums<kDims> sums = SumSplit(queries);
      if (split + team_ >= splits_.count) break;
      if (has_all) {
        AddToTotals(sums, split + team_);
      } else {
        StorePartial(sums, split + team_);
      }
    }
    if (!has_all) return;
    __syncthreads();
    for (int row = 0; row < num_rows_; ++row) {
      StoreHeads<Cache, 1>(call_, first_row_ + row, first_head(), num_heads(),
                           {totals_ + row * kPartialStride<kDims>, 0, kHeadFloats}, 1, kTeams * team_heads_);
    }
  }

 private:
  static constexpr int kHeadFloats = kTileRows * kPartialStride<kDims>;  // of totals_

  // The block's query heads: of those that share the kv head from this one on.
  __device__ int first_of_kv() const {
    return static_cast<int>(blockIdx.y) % BlocksOfKvHead(c_) * team_heads_;
  }
  __device__ int first_head() const { return kv_head_ * c_.heads_per_kv() + first_of_kv(); }
  __device__ int num_heads() const { return min(team_heads_, c_.heads_per_kv() - first_of_kv()); }

  // --- Queries

  __device__ uint16_t* queries_of_head() const {
    return reinterpret_cast<uint16_t*>(totals_) + head_ * kTileRows * kQueryStride<kDims>;
  }
  __device__ __forceinline__ void CopyQueries() const {
    const int head = first_head() + min(head_, num_heads() - 1);
    for (int row = team_; row < num_rows_; row += kTeams) {
      const uint16_t* from = call_.qkv.values + int64_t{first_row_ + row} * call_.qkv.stride;
      CopyQuery<kDims>(c_, from + head * c_.head_dim, queries_of_head() + row * kQueryStride<kDims>, lane_);
    }
    EndCopyBatch();
  }
  // While a step is under way.
  __device__ __forceinline__ HeldQueries<kDims> LoadQueries() const {
    WaitForCopies<1>();
    __syncthreads();
    const HeldQueries<kDims> queries(SharedQueries<kDims>(queries_of_head(), num_rows_, lane_));
    __syncthreads();  // totals go where they were
    return queries;
  }

  // --- Groups, in the order in which a team sums them

  // Where the groups of the next step lie.
  __device__ __forceinline__ void FindNext() {
#pragma unroll
    for (int n = 0; n < kStepGroups; ++n) {
      const int group = next_ + n * kSplitParts;
      if (group < splits_.num_groups) block_[n] = table_[BlockOf(c_, group)];
    }
  }
  // Begins to copy the next step's groups, and finds those of the one after it: part by part of a split, then
  // on to the team's next split.
  __device__ __forceinline__ void CopyNext() {
    auto& to = StepToCopy();
    copying_ ^= 1;
#pragma unroll
    for (int n = 0; n < kStepGroups; ++n) CopyGroup(to, n);
    EndCopyBatch();
    next_ += kStepGroups * kSplitParts;
    if (next_ >= next_split_ + splits_.each) next_ = next_split_ + ++next_part_;
    if (next_part_ == kSplitParts) {
      next_part_ = 0;
      next_split_ += static_cast<int>(gridDim.x) * kTeams * splits_.each;
      next_ = next_split_;
    }
    FindNext();
  }
  __device__ __forceinline__ auto& StepToCopy() const {
    if constexpr (Cache::kIsFp8) {
      return *coded_;
    } else {
      return staged_[copying_];
    }
  }
  template <class Step>
  __device__ __forceinline__ void CopyGroup(Step& to, int n) const {
    const int group = next_ + n * kSplitParts, sequence_block = BlockOf(c_, group),
              in_block = group - sequence_block * c_.groups_per_block;
    const int first = sequence_block * c_.block_tokens + in_block * kGroupTokens;
    const bool exists = group < splits_.num_groups;
    const int count = exists ? min(min(kGroupTokens, c_.block_tokens - in_block * kGroupTokens),
                                   position_ + num_rows_ - first)
                             : 0;
    const int64_t index =
        exists ? (int64_t{block_[n]} * c_.num_kv_heads + kv_head_) * c_.groups_per_block + in_block : 0;
    to.Copy(n, KeysOf<Cache>(c_) + index * kGroupTokens * kDims,
            ValuesOf<Cache>(c_) + index * kGroupTokens * kDims, count, {head_, team_heads_, lane_});
    if (head_ == 0 && lane_ == 0) {
      to.first_position[n] = first;
      to.num_positions[n] = count;
    }
  }
  // The step that is under way, when it has arrived. The team is then done with the one before it.
  __device__ __forceinline__ const StagedStep<kDims>& NextStep() const {
    WaitForCopies<0>();
    SyncTeam();
    if constexpr (Cache::kIsFp8) {
      coded_->Decode(*staged_, {head_, team_heads_, lane_});
      SyncTeam();  // from here on the next step may be copied
      return *staged_;
    } else {
      return staged_[copying_ ^ 1];
    }
  }
  __device__ __forceinline__ void SyncTeam() const {
    SyncThreads(1 + kTeams + team_, team_heads_ * kWarpLanes);
  }

  // --- Sums

  // Of the team's next split. Its groups that do not exist, and those of a split that does not, are passed
  // over.
  __device__ __forceinline__ TileSums<kDims> SumSplit(const HeldQueries<kDims>& queries) {
    const int g = lane_ / 4;
    const int low = position_ + min(g, num_rows_ - 1), high = position_ + min(g + 8, num_rows_ - 1);
    const float scale = ScoreScale<Cache>(c_);
    TileSums<kDims> sums;
#pragma unroll 1
    for (int part = 0; part < kSplitParts; ++part) {
      WarpAttention<Bf16Cache, kDims, kDims, kStepGroups> mine(lane_);
      for (int i = 0; i < splits_.each / kSplitParts; i += kStepGroups) {
        const StagedStep<kDims>& step = NextStep();
        CopyNext();
        if (step.num_positions[0] == 0) continue;
#pragma unroll
        for (int n = 0; n < kStepGroups; ++n) mine.template LoadKeys<true>(step.k[n], n);
        mine.Score(queries);
#pragma unroll
        for (int n = 0; n < kStepGroups; ++n) {
          const int first = step.first_position[n], count = step.num_positions[n];
          mine.Weigh(min(count, low + 1 - first), min(count, high + 1 - first), scale, n);
          mine.LoadValues(step.v[n]);
          mine.Add();
        }
      }
      mine.sums.AddLanes();
      if (part == 0) {
        sums = mine.sums;
      } else {
        sums.Add(mine.sums);
      }
    }
    return sums;
  }
  // Split by split, each when the other team has added the one before.
  __device__ __forceinline__ void AddToTotals(const TileSums<kDims>& sums, int split) const {
    float* to = totals_ + head_ * kHeadFloats;
    if (split == 0) {
      sums.Store(to, kPartialStride<kDims>, kTileRows, 0, lane_);
    } else {
      SyncThreads(1 + team_, TileThreads(c_));
      sums.AddTo(to, kPartialStride<kDims>, lane_);
    }
    if (split + 1 < splits_.count) ArriveOnly(1 + (team_ ^ 1), TileThreads(c_));
  }
  __device__ __forceinline__ void StorePartial(const TileSums<kDims>& sums, int split) const {
    if (head_ >= num_heads()) return;
    sums.Store(WorkspaceOf<kDims>(call_, first_row_, first_head() + head_) + split * kWorkspaceStride<kDims>,
               c_.num_heads * kMaxSplits * kWorkspaceStride<kDims>, num_rows_, 0, lane_);
  }

  const AttentionCall& call_;
  const CacheView& c_;
  const int team_heads_, first_row_, num_rows_;
  float* totals_;
  int lane_, team_, head_;  // of this thread; head_ within the block
  int kv_head_;
  int position_;          // of the first row
  const int32_t* table_;  // blocks of the sequence
  Splits splits_;         // of the last row

  // The team's steps: BF16 [2], of which one is under way; FP8 [1], decoded from the one that is.
  StagedStep<kDims>* staged_;
  CodedStep<kDims>* coded_;  // FP8
  int copying_ = 0;
  int next_split_, next_part_ = 0, next_;  // first group of the split, part and group to be copied next
  int block_[kStepGroups];                 // of the cache: where the next step's groups are
};

}  // namespace fourstep::cuda
