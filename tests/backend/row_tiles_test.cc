// Which rows share attention, by the host's list.
#include "cuda/row_tiles.h"

#include <gtest/gtest.h>

#include <set>

#include "cuda/context_splits.h"
#include "random_model.h"

namespace fourstep::cuda {
namespace {

constexpr int32_t kBlockTokens = 16, kBorder = kMaxSplits * kMinSplitGroups * kGroupTokens;  // splits grow

CacheView Cache(int32_t padded_dim = 128) {
  CacheView cache{};
  cache.padded_dim = padded_dim;
  cache.block_tokens = kBlockTokens;
  cache.groups_per_block = kBlockTokens / kGroupTokens;
  return cache;
}

void AddRows(BatchRows& rows, int32_t slot, int32_t first, int32_t count) {
  for (int32_t i = 0; i < count; ++i) rows.Add(slot, first + i, 0, false);
}

TEST(RowTiles, AStepIsCapturedForALongerContext) {
  const auto splits_of = [](int32_t context) { return SplitsOf(Cache(), context).count; };
  int32_t before = 0;
  std::set<int32_t> up_to_border;
  for (int32_t context = 1; context <= 3 * kBorder; ++context) {
    const int32_t rounded = RoundedContext(context);
    ASSERT_GE(rounded, context);
    ASSERT_GE(rounded, before);
    ASSERT_EQ(RoundedContext(rounded), rounded);
    if (context <= kBorder) {
      ASSERT_LT(splits_of(rounded), 2 * splits_of(context)) << context;
      up_to_border.insert(rounded);
    }
    before = rounded;
  }
  EXPECT_EQ(up_to_border,
            (std::set<int32_t>{128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096}));
}

TEST(RowTiles, BlocksShareTheSplitsOfARow) {
  for (int splits = 1; splits <= kMaxSplits; ++splits) {
    for (int blocks = 1; blocks <= kMaxSplits + 2; ++blocks) {
      int next = 0;
      for (int block = 0; block < blocks; ++block) {
        const SplitRange range = SplitsOfBlock(splits, block, Divisor(blocks));
        ASSERT_EQ(range.first, next);
        ASSERT_GE(range.count, splits / blocks);
        ASSERT_LE(range.count, (splits + blocks - 1) / blocks);
        next += range.count;
      }
      ASSERT_EQ(next, splits);
    }
  }
}

TEST(RowTiles, ChunksShareAndLoneRowsComeFirst) {
  BatchRows rows;
  AddRows(rows, 3, 500, 1);
  AddRows(rows, 1, 1000, 40);
  AddRows(rows, 0, 7, 1);
  AddRows(rows, 2, 20, 2);
  const RowTiles tiles = RowTilesOf(rows.view(), Cache());
  EXPECT_EQ(tiles.num_alone, 2);
  EXPECT_EQ(tiles.num_shared, 4);
  EXPECT_EQ(tiles.tiles, (std::vector<int32_t>{0, 1, 41, 1, 1, 16, 17, 16, 33, 8, 42, 2}));
}

TEST(RowTiles, EndWhereSplitsChange) {
  BatchRows rows;
  AddRows(rows, 0, kBorder - 5, 12);
  EXPECT_EQ(RowTilesOf(rows.view(), Cache()).tiles, (std::vector<int32_t>{0, 5, 5, 7}));
}

TEST(RowTiles, EndWherePositionsDoNotFollow) {
  BatchRows rows;
  AddRows(rows, 0, 1500, 4);
  AddRows(rows, 0, 1600, 3);
  EXPECT_EQ(RowTilesOf(rows.view(), Cache()).tiles, (std::vector<int32_t>{0, 4, 4, 3}));
}

TEST(RowTiles, AllAreAloneWithLittleContextOrWideHeads) {
  BatchRows little;
  AddRows(little, 0, 0, 64);
  const RowTiles of_little = RowTilesOf(little.view(), Cache());
  EXPECT_EQ(of_little.num_alone, 64);
  EXPECT_EQ(of_little.num_shared, 0);
  EXPECT_TRUE(of_little.tiles.empty());
  BatchRows wide;
  AddRows(wide, 0, 1000, 64);
  EXPECT_EQ(RowTilesOf(wide.view(), Cache(2 * kMaxTileDims)).num_alone, 64);
}

}  // namespace
}  // namespace fourstep::cuda
