// How the units of a linear are shared out among blocks and warps, and the order in which a warp's units are
// read and summed: a function of the matrix and of the number of blocks.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace fourstep::cuda {

inline constexpr int kWarps = 16;  // of a block, that multiply

// The tiles of block `block` of `num_blocks`, in the order in which it takes them: every num_blocks-th, so
// that all blocks together read memory from one end to the other (in runs of their own they were 1 to 6 %
// slower). Those of a gated pair (`granule` 2) stay together.
struct BlockTiles {
  int first, step, granule, count;
  FOURSTEP_HD int At(int i) const { return first + i / granule * step + i % granule; }
};
FOURSTEP_HD BlockTiles TilesOf(int num_tiles, int granule, int block, int num_blocks) {
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

// Which units of a slice a warp sums.
struct Run {
  int begin, end;
};
FOURSTEP_HD Run RunOf(int num_units, int slice_units, int slice, int warp) {
  const int first = slice * slice_units, rest = num_units - first;
  const int count = slice_units < rest ? slice_units : rest;
  return {first + warp * count / kWarps, first + (warp + 1) * count / kWarps};
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
  int32_t unit_bytes, stage_units;
  int32_t group_tiles;  // that are summed together; 2 for a gated pair
};

// Walks over a warp's units in that order, a stage of its ring at a time: group of tiles by group, slice by
// slice, tile by tile.
class WeightStream {
 public:
  FOURSTEP_HD WeightStream(const StreamedLinear& linear, const BlockTiles& tiles, int warp)
      : linear_(linear), tiles_(tiles), warp_(warp) {
    Settle();
  }
  FOURSTEP_HD bool done() const { return left_ <= 0; }
  FOURSTEP_HD const uint8_t* units() const { return units_; }
  FOURSTEP_HD int bytes() const {
    return (left_ < linear_.stage_units ? left_ : linear_.stage_units) * linear_.unit_bytes;
  }
  FOURSTEP_HD void Advance() {
    left_ -= linear_.stage_units;
    units_ += linear_.stage_units * linear_.unit_bytes;
    if (left_ <= 0) Settle();
  }

 private:
  // To the next tile where this warp has units.
  FOURSTEP_HD void Settle() {
    do {
      const int group_end = group_ + linear_.group_tiles;
      if (++tile_ >= (group_end < tiles_.count ? group_end : tiles_.count)) {
        if (++slice_ >= linear_.num_slices) {
          slice_ = 0;
          group_ = group_end;
        }
        tile_ = group_;
      }
      if (group_ >= tiles_.count) return;
      const Run run = RunOf(linear_.num_units, linear_.slice_units, slice_, warp_);
      left_ = run.end - run.begin;
      units_ =
          linear_.units + (int64_t{tiles_.At(tile_)} * linear_.num_units + run.begin) * linear_.unit_bytes;
    } while (left_ <= 0);
  }

  const StreamedLinear& linear_;
  const BlockTiles tiles_;
  const int warp_;
  int group_ = 0, tile_ = -1, slice_ = 0;  // group_, tile_: of those of the block
  int left_ = 0;                           // units of this run
  const uint8_t* units_ = nullptr;
};

}  // namespace fourstep::cuda
