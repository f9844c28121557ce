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

}  // namespace fourstep::cuda
