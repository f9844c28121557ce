// What one step works on: rows of tokens, each of one sequence, and which of them draw a next token.
#pragma once

#include <cstdint>
#include <span>

namespace fourstep {

// A row whose token is the one drawn last in its slot: it never travelled through the host.
inline constexpr int32_t kLastDrawnToken = -1;

struct Batch {
  // Rows of one sequence stand together, positions ascending. A chunk of a prompt and single decode rows may
  // mix.
  std::span<const int32_t> tokens;     // [num_rows] ids, or kLastDrawnToken
  std::span<const int32_t> positions;  // [num_rows] 0-based position in the sequence
  std::span<const int32_t> slots;      // [num_rows] which sequence, 0..max_slots-1
  // [num_draws] rows whose logits are computed, ascending. Where Draw follows: one a slot at most.
  std::span<const int32_t> draw_rows;
  std::span<const int32_t>
      block_tables;        // [max_slots, max_blocks] cache block of each block_tokens positions
  int32_t max_blocks = 0;  // row length of block_tables

  int32_t num_rows() const { return static_cast<int32_t>(tokens.size()); }
};

}  // namespace fourstep
