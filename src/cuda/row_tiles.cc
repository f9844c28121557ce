#include "cuda/row_tiles.h"

#include <numeric>

#include "cuda/context_splits.h"

namespace fourstep::cuda {
namespace {

// Rows from `first` on that can be one tile.
int32_t CountTogether(const Batch& batch, const CacheView& cache, size_t first) {
  const auto each = [&](size_t row) { return SplitsOf(cache, batch.positions[row] + 1).each; };
  size_t row = first + 1;
  while (row < batch.slots.size() && row - first < kTileRows && batch.slots[row] == batch.slots[first] &&
         batch.positions[row] == batch.positions[row - 1] + 1 && each(row) == each(first))
    ++row;
  return static_cast<int32_t>(row - first);
}

bool IsAlone(const Batch& batch, size_t row) {
  const auto slot_at = [&](size_t other) { return other < batch.slots.size() ? batch.slots[other] : -1; };
  return slot_at(row - 1) != batch.slots[row] && slot_at(row + 1) != batch.slots[row];
}

}  // namespace

RowTiles RowTilesOf(const Batch& batch, const CacheView& cache) {
  RowTiles result;
  const int64_t num_positions = std::accumulate(batch.positions.begin(), batch.positions.end(), int64_t{0});
  if (num_positions < kFewestSharedPositions) return {.tiles = {}, .num_alone = batch.num_rows()};
  std::vector<int32_t> shared;
  for (size_t row = 0; row < batch.slots.size();) {
    const bool is_alone = cache.padded_dim > kMaxTileDims || IsAlone(batch, row);
    const int32_t count = is_alone ? 1 : CountTogether(batch, cache, row);
    std::vector<int32_t>& to = is_alone ? result.tiles : shared;
    to.insert(to.end(), {static_cast<int32_t>(row), count});
    ++(is_alone ? result.num_alone : result.num_shared);
    row += static_cast<size_t>(count);
  }
  result.tiles.insert(result.tiles.end(), shared.begin(), shared.end());
  return result;
}

}  // namespace fourstep::cuda
