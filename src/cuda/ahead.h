// What the next kernels read first, brought to the L2 cache by a linear of few rows once it has no more of
// its own weights to ask for. Memory is idle from then on: the shared memory of two linears does not fit an
// SM, so the next one's rings begin to fill only when this one has left it, and attention's blocks begin when
// it has.
#pragma once

#include <cstdint>

#include "cuda/divisor.h"
#include "cuda/step_view.h"

namespace fourstep::cuda {

// The first weights of a linear.
struct WeightsAhead {
  const uint8_t* units = nullptr;
  int32_t bytes = 0;  // a multiple of 16
};

// Keys and values of a layer, of all positions of each of `num_rows` rows. None where `k` is null.
struct CacheAhead {
  const uint8_t *k = nullptr, *v = nullptr;  // [num_blocks, block_bytes]
  StepView step = {};
  Divisor num_rows, block_tokens, block_pieces;  // pieces: of a block's keys and values together
  int32_t block_bytes = 0;                       // of the keys: a multiple of kCachePieceBytes
};
inline constexpr int kCachePieceBytes = 4096;  // that a lane asks for
inline constexpr int kAheadLanes = 32;         // of a block

// function(where a piece begins) for those of lane `lane` of block `block` of num_blocks, which together have
// every piece once where they are not fewer than the rows. Blocks take turns at the rows. What positions and
// tables say was there before the step.
template <class Function>
FOURSTEP_HD void ForEachPiece(const CacheAhead& ahead, int block, int num_blocks, int lane,
                              const Function& function) {
  const int row = block % ahead.num_rows,
            lanes = (num_blocks - row + ahead.num_rows - 1) / ahead.num_rows * kAheadLanes;
  const int count = ahead.step.positions[row] / ahead.block_tokens + 1, half = ahead.block_pieces / 2;
  const int32_t* table = ahead.step.block_tables + int64_t{ahead.step.slots[row]} * ahead.step.max_blocks;
  for (int i = block / ahead.num_rows * kAheadLanes + lane; i < count * ahead.block_pieces; i += lanes) {
    const int of_row = i / ahead.block_pieces, piece = i - of_row * ahead.block_pieces;
    const uint8_t* from = piece < half ? ahead.k : ahead.v;
    const int in_block = (piece < half ? piece : piece - half) * kCachePieceBytes;
    function(from + int64_t{table[of_row]} * ahead.block_bytes + in_block);
  }
}

}  // namespace fourstep::cuda
