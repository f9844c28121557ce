// Which keys and values a linear brings to the L2 cache for the attention after it.
#include "cuda/ahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fourstep::cuda {
namespace {

constexpr int32_t kBlockTokens = 16, kMaxBlocks = 9, kPieces = 3;  // of a block's keys

// Rows of sequences of their own, in slots and blocks that are not in their order.
struct Rows {
  std::vector<int32_t> positions, slots, tables;

  explicit Rows(const std::vector<int32_t>& at) : positions(at), tables(at.size() * kMaxBlocks) {
    const auto count = static_cast<int32_t>(at.size());
    for (int32_t r = 0; r < count; ++r) slots.push_back(count - 1 - r);
    for (size_t i = 0; i < tables.size(); ++i) tables[i] = static_cast<int32_t>(i * 5 % tables.size());
  }
  int32_t num_rows() const { return static_cast<int32_t>(positions.size()); }
  int32_t BlockOf(int32_t row, int32_t i) const {
    return tables[static_cast<size_t>(slots[static_cast<size_t>(row)] * kMaxBlocks + i)];
  }
};

TEST(CacheAhead, HasEveryPieceOnce) {
  for (const std::vector<int32_t>& positions :
       {std::vector<int32_t>{0}, {15}, {16}, {143}, {140, 3}, {100, 0, 31, 32, 143, 7, 90, 1}}) {
    Rows rows(positions);
    const int32_t block_bytes = kPieces * kCachePieceBytes;
    const size_t bytes = rows.tables.size() * static_cast<size_t>(block_bytes);
    const std::vector<uint8_t> k(bytes), v(bytes);
    CacheAhead ahead;
    ahead.k = k.data();
    ahead.v = v.data();
    ahead.step.positions = rows.positions.data();
    ahead.step.slots = rows.slots.data();
    ahead.step.block_tables = rows.tables.data();
    ahead.step.max_blocks = kMaxBlocks;
    ahead.num_rows = rows.num_rows();
    ahead.block_tokens = kBlockTokens;
    ahead.block_pieces = 2 * kPieces;
    ahead.block_bytes = block_bytes;
    std::vector<const uint8_t*> wanted;
    for (int32_t r = 0; r < rows.num_rows(); ++r) {
      for (int32_t i = 0; i <= positions[static_cast<size_t>(r)] / kBlockTokens; ++i) {
        for (int32_t piece = 0; piece < kPieces; ++piece) {
          const int64_t at = int64_t{rows.BlockOf(r, i)} * block_bytes + piece * kCachePieceBytes;
          wanted.push_back(k.data() + at);
          wanted.push_back(v.data() + at);
        }
      }
    }
    std::sort(wanted.begin(), wanted.end());
    for (const int num_blocks : {rows.num_rows(), rows.num_rows() + 1, 13, 132}) {
      std::vector<const uint8_t*> got;
      for (int block = 0; block < num_blocks; ++block) {
        for (int lane = 0; lane < kAheadLanes; ++lane)
          ForEachPiece(ahead, block, num_blocks, lane, [&](const uint8_t* piece) { got.push_back(piece); });
      }
      std::sort(got.begin(), got.end());
      EXPECT_EQ(got, wanted) << positions.size() << " rows, " << num_blocks << " blocks";
    }
  }
}

}  // namespace
}  // namespace fourstep::cuda
