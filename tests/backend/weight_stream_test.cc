// The order in which a warp's weights are fetched is the one in which it multiplies them: the two sides of a
// ring meet nowhere else.
#include "cuda/weight_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace fourstep::cuda {
namespace {

// Stages as (offset, bytes), walked as the loops over groups, slices and tiles of WalkTiles do.
std::vector<std::pair<int64_t, int>> StagesOf(const StreamedLinear& l, const BlockTiles& tiles, int warp) {
  std::vector<std::pair<int64_t, int>> stages;
  for (int group = 0; group < tiles.count; group += l.group_tiles) {
    for (int slice = 0; slice < l.num_slices; ++slice) {
      const Run run = RunOf(l.num_units, l.slice_units, slice, warp);
      for (int i = group; i < std::min(group + l.group_tiles, tiles.count); ++i) {
        for (int unit = run.begin; unit < run.end; unit += l.stage_units) {
          stages.emplace_back((int64_t{tiles.At(i)} * l.num_units + unit) * l.unit_bytes,
                              std::min(l.stage_units, run.end - unit) * l.unit_bytes);
        }
      }
    }
  }
  return stages;
}

TEST(WeightStream, FetchesWhatIsMultiplied) {
  for (const int num_units : {1, 3, 15, 16, 17, 64, 80, 81, 192, 400}) {
    const Slices slices = SlicesOf(num_units);
    EXPECT_LE(slices.units, kMaxSliceUnits);
    for (const int num_tiles : {2, 6, 10, 34, 256}) {
      for (const int group_tiles : {1, 2, 3}) {
        const int granule = group_tiles == 2 ? 2 : 1;
        constexpr int kUnitBytes = 576;
        const std::vector<uint8_t> units(static_cast<size_t>(num_tiles * num_units * kUnitBytes));
        const StreamedLinear l{.units = units.data(),
                               .num_tiles = num_tiles,
                               .num_units = num_units,
                               .num_slices = slices.count,
                               .slice_units = slices.units,
                               .unit_bytes = kUnitBytes,
                               .stage_units = 4,
                               .group_tiles = group_tiles};
        for (const int num_blocks : {1, 2, 5, 132}) {
          std::vector<int> seen(static_cast<size_t>(num_tiles * num_units));
          for (int block = 0; block < num_blocks; ++block) {
            const BlockTiles tiles = TilesOf(num_tiles, granule, block, num_blocks);
            for (int i = 0; i < tiles.count; ++i) EXPECT_EQ(tiles.At(i) % granule, i % granule);
            for (int warp = 0; warp < kWarps; ++warp) {
              WeightStream stream(l, tiles, warp);
              for (const auto& [offset, bytes] : StagesOf(l, tiles, warp)) {
                ASSERT_FALSE(stream.done());
                ASSERT_EQ(stream.units() - l.units, offset);
                ASSERT_EQ(stream.bytes(), bytes);
                for (int64_t at = offset; at < offset + bytes; at += l.unit_bytes)
                  ++seen[static_cast<size_t>(at / l.unit_bytes)];
                stream.Advance();
              }
              ASSERT_TRUE(stream.done());
            }
          }
          EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
        }
      }
    }
  }
}

// The kernel for many rows sums by itself what the warps of the one for few rows sum, in their order.
TEST(WeightStream, ManyRowsAreSummedInTheSameOrder) {
  for (const int num_units : {1, 3, 15, 16, 17, 64, 80, 81, 109, 192, 400, 1024}) {
    const Slices slices = SlicesOf(num_units);
    const std::vector<uint8_t> units(static_cast<size_t>(num_units));
    const StreamedLinear l{.units = units.data(),
                           .num_tiles = 1,
                           .num_units = num_units,
                           .num_slices = slices.count,
                           .slice_units = slices.units,
                           .unit_bytes = 1,
                           .stage_units = 1,
                           .group_tiles = 1};
    std::vector<uint16_t> order(static_cast<size_t>(num_units)), expected;
    for (int warp = 0; warp < kWarps; ++warp) {
      OrderRuns(num_units, slices.count, slices.units, warp, order.data());
      const size_t before = expected.size();
      for (WeightStream stream(l, TilesOf(1, 1, 0, 1), warp); !stream.done(); stream.Advance())
        expected.push_back(static_cast<uint16_t>(stream.units() - l.units));
      if (expected.size() > before) expected.back() |= kEndsRuns;
    }
    EXPECT_EQ(order, expected) << num_units << " units";
  }
}

}  // namespace
}  // namespace fourstep::cuda
