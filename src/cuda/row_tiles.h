// Which rows of a step attention computes together.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/batch.h"
#include "cuda/attention.h"

namespace fourstep::cuda {

struct RowTiles {
  std::vector<int32_t> tiles;  // [num_alone + num_shared, 2], as TileList has them
  int32_t num_alone = 0, num_shared = 0;
};

// Rows whose neighbours are of other sequences are alone. Of the others, up to kTileRows at consecutive
// positions whose contexts are shared out in splits of the same size are a tile.
RowTiles RowTilesOf(const Batch& batch, const CacheView& cache);

}  // namespace fourstep::cuda
