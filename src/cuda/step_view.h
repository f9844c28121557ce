// What one step works on, in device memory: the arrays of backend/batch.h. They stay where they are, so that
// a captured graph needs no updates.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace fourstep::cuda {

struct StepView {
  int32_t* tokens;              // [max_rows] ids, or kLastDrawnToken
  int32_t* positions;           // [max_rows]
  const int32_t* slots;         // [max_rows]
  const int32_t* draw_rows;     // [max_rows]
  const int32_t* block_tables;  // [max_slots, max_blocks]
  int32_t max_blocks;
  // [max_rows, head_dim / 2]: cosine and sine of the angles by which a row's position rotates. A step's first
  // kernel writes them, once for all layers (LaunchTurns).
  float2* turns;
};

}  // namespace fourstep::cuda
