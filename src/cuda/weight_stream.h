// How the units of a linear are shared out among blocks and warps, and the order in which a warp's units are
// read and summed: a function of the matrix and of the number of blocks.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "cuda/divisor.h"

namespace fourstep::cuda {

inline constexpr int kWarps = 16;     // of a block, that multiply
inline constexpr int kTeamWarps = 4;  // whose weights are fetched together
inline constexpr int kWarpTeams = kWarps / kTeamWarps;

// The tiles of block `block` of `num_blocks`, in the order in which it takes them: every num_blocks-th, so
// that all blocks together read memory from one end to the other (in runs of their own they were 1 to 6 %
// slower). Those of a gated pair (`granule` 2) stay together.
struct BlockTiles {
  int first, step, granule, count;
  FOURSTEP_HD int At(int i) const { return first + i / granule * step + i % granule; }
};
FOURSTEP_HD BlockTiles TilesOf(int num_tiles, int granule, int block, const Divisor& num_blocks) {
  const int granules = num_tiles / granule, mine = (granules - block + num_blocks - 1) / num_blocks;
  return {block * granule, num_blocks * granule, granule, mine > 0 ? mine * granule : 0};
}

// Inputs are taken in slices of at most so many units, so that a warp's share of eight rows of a slice fits
// its registers: with runs of six units the compiler spilled. The slices of a matrix are the same for any
// number of rows: they are part of the order of sums.
inline constexpr int kMaxSliceUnits = 80, kMaxRunUnits = kMaxSliceUnits / kWarps;
struct Slices {
  int count, units;  // units: of each but the last
};
FOURSTEP_HD Slices SlicesOf(int num_units) {
  const int count = (num_units + kMaxSliceUnits - 1) / kMaxSliceUnits;
  return {count, (num_units + count - 1) / count};
}

// A range of units.
struct Run {
  int begin, end;
};
FOURSTEP_HD Run SliceOf(int num_units, int slice_units, int slice) {
  const int begin = slice * slice_units, end = begin + slice_units;
  return {begin, end < num_units ? end : num_units};
}
// Which units of a slice a warp sums.
FOURSTEP_HD Run RunOf(int num_units, int slice_units, int slice, int warp) {
  const Run all = SliceOf(num_units, slice_units, slice);
  const int count = all.end - all.begin;
  return {all.begin + warp * count / kWarps, all.begin + (warp + 1) * count / kWarps};
}

// A slice of a tile is fetched in so many stages: stage i has units stage_units * i and on of every warp's
// run.
FOURSTEP_HD int StagesOf(int num_units, int slice_units, int slice, int stage_units) {
  const Run all = SliceOf(num_units, slice_units, slice);
  const int longest = (all.end - all.begin + kWarps - 1) / kWarps;
  return (longest + stage_units - 1) / stage_units;
}
// Where a warp's units begin in a stage [kWarps, stage_units] of units. A slice of one stage lies there as it
// lies in memory, so that one copy brings what a team takes of it.
FOURSTEP_HD int PlaceInStage(int num_units, int slice_units, int slice, int warp, int stage_units) {
  if (StagesOf(num_units, slice_units, slice, stage_units) > 1) return warp * stage_units;
  return RunOf(num_units, slice_units, slice, warp).begin - slice * slice_units;
}

// The order in which the units of a tile are summed: the runs of a warp, slice by slice, then those of the
// next. Writes those of `warp` to their places in order [num_units]; kEndsRuns is set in its last.
inline constexpr int kEndsRuns = 1 << 15;
FOURSTEP_HD void OrderRuns(int num_units, int num_slices, int slice_units, int warp, uint16_t* order) {
  int at = 0;
  for (int slice = 0; slice < num_slices; ++slice)
    at += RunOf(num_units, slice_units, slice, warp).begin - slice * slice_units;
  const int begin = at;
  for (int slice = 0; slice < num_slices; ++slice) {
    const Run run = RunOf(num_units, slice_units, slice, warp);
    for (int unit = run.begin; unit < run.end; ++unit) order[at++] = static_cast<uint16_t>(unit);
  }
  if (at > begin) order[at - 1] |= kEndsRuns;
}

// Of a linear, what the order depends on.
struct StreamedLinear {
  const uint8_t* units;  // [num_tiles, num_units, unit_bytes]
  int32_t num_tiles, num_units, num_slices, slice_units;
  int32_t unit_bytes;
  int32_t stage_units;  // of each warp
  int32_t group_tiles;  // that are summed together; whole pairs where they are gated
};

// Walks over the stages of a block: group of tiles by group, slice by slice, tile by tile.
class WeightStream {
 public:
  // Units that lie together, in memory and in the stage; there may be none.
  struct Part {
    const uint8_t* from;
    int place, count;
  };

  FOURSTEP_HD WeightStream(const StreamedLinear& linear, const BlockTiles& tiles)
      : linear_(linear), tiles_(tiles) {
    BeginSlice();
  }
  FOURSTEP_HD bool done() const { return group_ >= tiles_.count; }
  // What to fetch of the stage for a warp; where one copy brings a team's, its first warp has all of it.
  FOURSTEP_HD Part PartOf(int warp) const {
    const StreamedLinear& l = linear_;
    Run run = RunOf(l.num_units, l.slice_units, slice_, warp);
    int place = warp * l.stage_units;
    if (num_stages_ > 1) {
      run.begin += stage_ * l.stage_units;
      if (run.end > run.begin + l.stage_units) run.end = run.begin + l.stage_units;
    } else {
      place = run.begin - slice_ * l.slice_units;
      run.end = warp % kTeamWarps > 0 ? run.begin
                                      : RunOf(l.num_units, l.slice_units, slice_, warp + kTeamWarps - 1).end;
    }
    return {l.units + (int64_t{tiles_.At(tile_)} * l.num_units + run.begin) * l.unit_bytes, place,
            run.end > run.begin ? run.end - run.begin : 0};
  }
  FOURSTEP_HD void Advance() {
    if (++stage_ < num_stages_) return;
    stage_ = 0;
    const int group_end = group_ + linear_.group_tiles;
    if (++tile_ < (group_end < tiles_.count ? group_end : tiles_.count)) return;
    if (++slice_ == linear_.num_slices) {
      slice_ = 0;
      group_ = group_end;
    }
    BeginSlice();
  }

 private:
  FOURSTEP_HD void BeginSlice() {
    tile_ = group_;
    num_stages_ = StagesOf(linear_.num_units, linear_.slice_units, slice_, linear_.stage_units);
  }

  const StreamedLinear& linear_;
  const BlockTiles tiles_;
  int group_ = 0, tile_ = 0;  // of those of the block
  int slice_ = 0, stage_ = 0, num_stages_;
};

}  // namespace fourstep::cuda
