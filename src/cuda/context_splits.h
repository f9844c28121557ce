// How the context of a row is shared out, and with that the order of its sums.
#pragma once

#include <bit>
#include <cstdint>

#include "cuda/attention.h"

namespace fourstep::cuda {

// A split's groups are summed in so many parts, part p from groups p, p + kSplitParts, ... of it in order;
// then the parts are merged in order, and then the splits.
inline constexpr int kSplitParts = 4;

// A function of the row's length alone. Splits have as many groups for all lengths up to a border, so that
// neighbours can be computed together.
struct Splits {
  int num_groups, count, each;
};
FOURSTEP_HD Splits SplitsOf(const CacheView& c, int length) {
  const int last = length - 1;
  const int groups = last / c.block_tokens * c.groups_per_block + last % c.block_tokens / kGroupTokens + 1;
  constexpr int kMostGroups = kMaxSplits * kMinSplitGroups;
  if (groups <= kMostGroups)  // mostly; so that a GPU need not divide by what it has only now
    return {groups, (groups + kMinSplitGroups - 1) / kMinSplitGroups, kMinSplitGroups};
  const int each = (groups + kMostGroups - 1) / kMostGroups * kMinSplitGroups;
  return {groups, (groups + each - 1) / each, each};
}

// Successive splits of a row, which one of `blocks` blocks takes: as many for all blocks, or one more for the
// first ones.
struct SplitRange {
  int first, count;
};
FOURSTEP_HD SplitRange SplitsOfBlock(int num_splits, int block, const Divisor& blocks) {
  const int each = num_splits / blocks, rest = num_splits - each * blocks;
  return {block * each + (block < rest ? block : rest), each + (block < rest ? 1 : 0)};
}

// A longer context for which a step is captured in place of this one, so that a graph serves many: fewer than
// half of the blocks then find no split, mostly a tenth. A graph for the longest context served all before; a
// step of eight rows at 1k of context began 2,048 blocks for 576 splits.
inline int32_t RoundedContext(int32_t context) {
  constexpr int32_t kSplitTokens = kMinSplitGroups * kGroupTokens;
  const int32_t splits = (context + kSplitTokens - 1) / kSplitTokens, step = splits <= 16 ? 2 : 4;
  const bool doubles = splits <= 4 || splits > kMaxSplits;
  const auto power = static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(splits)));
  return (doubles ? power : (splits + step - 1) / step * step) * kSplitTokens;
}

// The block of a sequence that has a group.
FOURSTEP_HD int BlockOf(const CacheView& c, int group) {
  return group / c.groups_per_block;
}

}  // namespace fourstep::cuda
