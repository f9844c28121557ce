// The order in which weights are fetched is the one in which warps multiply them: the two sides of a ring
// meet nowhere else.
#include "cuda/weight_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace fourstep::cuda {
namespace {

// For each stage of a block, what a ring's memory then has: the unit that lies at each place of [kWarps,
// stage_units], by its index in the matrix, or -1. A team's parts come by copies of their own.
std::vector<std::vector<int64_t>> StagesFetched(const StreamedLinear& l, const BlockTiles& tiles) {
  std::vector<std::vector<int64_t>> stages;
  for (WeightStream stream(l, tiles); !stream.done(); stream.Advance()) {
    std::vector<int64_t> stage(static_cast<size_t>(kWarps * l.stage_units), -1);
    for (int warp = 0; warp < kWarps; ++warp) {
      const WeightStream::Part part = stream.PartOf(warp);
      for (int i = 0; i < part.count; ++i) {
        int64_t& place = stage.at(static_cast<size_t>(part.place + i));
        EXPECT_EQ(place, -1) << "two copies of a stage overlap";
        place = (part.from - l.units) / l.unit_bytes + i;
      }
    }
    stages.push_back(std::move(stage));
  }
  return stages;
}

// What a warp reads of a stage, as RegisterInputs and SharedInputs do: units [run.begin + first, ...) of a
// tile's slice.
void ExpectRun(const StreamedLinear& l, const std::vector<int64_t>& stage, int tile, int slice, int first,
               int warp, std::vector<int>& seen) {
  const Run run = RunOf(l.num_units, l.slice_units, slice, warp);
  const int place = PlaceInStage(l.num_units, l.slice_units, slice, warp, l.stage_units);
  for (int i = 0; i < l.stage_units && run.begin + first + i < run.end; ++i) {
    const int64_t unit = int64_t{tile} * l.num_units + run.begin + first + i;
    ASSERT_EQ(stage.at(static_cast<size_t>(place + i)), unit);
    ++seen[static_cast<size_t>(unit)];
  }
}

// Walks over the stages as the loops over groups, slices and tiles of TileWalk do.
void ExpectStages(const StreamedLinear& l, const BlockTiles& tiles, std::vector<int>& seen) {
  const std::vector<std::vector<int64_t>> fetched = StagesFetched(l, tiles);
  size_t at = 0;
  for (int group = 0; group < tiles.count; group += l.group_tiles) {
    for (int slice = 0; slice < l.num_slices; ++slice) {
      for (int i = group; i < std::min(group + l.group_tiles, tiles.count); ++i) {
        const int stages = StagesOf(l.num_units, l.slice_units, slice, l.stage_units);
        for (int stage = 0; stage < stages; ++stage, ++at) {
          ASSERT_LT(at, fetched.size());
          for (int warp = 0; warp < kWarps; ++warp)
            ExpectRun(l, fetched[at], tiles.At(i), slice, stage * l.stage_units, warp, seen);
        }
      }
    }
  }
  EXPECT_EQ(at, fetched.size());
}

TEST(WeightStream, FetchesWhatIsMultiplied) {
  for (const int num_units : {1, 3, 15, 16, 17, 64, 80, 81, 192, 400}) {
    const Slices slices = SlicesOf(num_units);
    EXPECT_LE(slices.units, kMaxSliceUnits);
    for (const int num_tiles : {2, 6, 10, 34, 256}) {
      for (const int group_tiles : {1, 2, 3, 4}) {
        for (const int stage_units : {1, 2, 4, 5}) {
          const int granule = group_tiles % 2 == 0 ? 2 : 1;
          constexpr int kUnitBytes = 576;
          const std::vector<uint8_t> units(static_cast<size_t>(num_tiles * num_units * kUnitBytes));
          const StreamedLinear l{.units = units.data(),
                                 .num_tiles = num_tiles,
                                 .num_units = num_units,
                                 .num_slices = slices.count,
                                 .slice_units = slices.units,
                                 .unit_bytes = kUnitBytes,
                                 .stage_units = stage_units,
                                 .group_tiles = group_tiles};
          for (const int num_blocks : {1, 5, 132}) {
            std::vector<int> seen(static_cast<size_t>(num_tiles * num_units));
            for (int block = 0; block < num_blocks; ++block) {
              const BlockTiles tiles = TilesOf(num_tiles, granule, block, num_blocks);
              for (int i = 0; i < tiles.count; ++i) EXPECT_EQ(tiles.At(i) % granule, i % granule);
              ASSERT_NO_FATAL_FAILURE(ExpectStages(l, tiles, seen));
            }
            EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
          }
        }
      }
    }
  }
}

// The kernel for many rows sums by itself what the warps of the one for few rows sum, in their order: a
// warp's runs, slice by slice, then those of the next.
TEST(WeightStream, ManyRowsAreSummedInTheSameOrder) {
  for (const int num_units : {1, 3, 15, 16, 17, 64, 80, 81, 109, 192, 400, 1024}) {
    const Slices slices = SlicesOf(num_units);
    std::vector<uint16_t> order(static_cast<size_t>(num_units)), expected;
    for (int warp = 0; warp < kWarps; ++warp) {
      OrderRuns(num_units, slices.count, slices.units, warp, order.data());
      const size_t before = expected.size();
      for (int slice = 0; slice < slices.count; ++slice) {
        const cuda::Run run = RunOf(num_units, slices.units, slice, warp);
        for (int unit = run.begin; unit < run.end; ++unit) expected.push_back(static_cast<uint16_t>(unit));
      }
      if (expected.size() > before) expected.back() |= kEndsRuns;
    }
    EXPECT_EQ(order, expected) << num_units << " units";
  }
}

}  // namespace
}  // namespace fourstep::cuda
