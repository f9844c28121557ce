// y = alpha (W x) + bias for any number of rows, with the epilogues that decoder layers need.
//
// Two kernels serve every format: one streams weights past the inputs of a few rows (linear_tiles.cuh), one
// takes both through shared memory for many rows (gemm.h). The order of a row's sum depends on the shape of
// the matrix alone: a tile of 16 outputs is summed in 16 runs of units on the tensor cores, and the sums of
// the runs are added in their order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/ahead.h"
#include "cuda/linear_view.h"
#include "cuda/row_form.h"

namespace fourstep::cuda {

enum class Epilogue : int32_t {
  kStore,     // out = y, BF16
  kResidual,  // out += y, BF16, one rounding
  kGated,     // out = silu(gate) * up, in `form`; the linear must be a pair
  kLogits,    // out = y, fp32
};

struct LinearCall {
  LinearView linear;
  const uint16_t* x;  // [num_rows, x_stride] BF16, in the form the linear reads; zero from k to x_stride
  int32_t x_stride;   // num_units * 64
  int32_t num_rows;
  void* out;  // [num_rows, out_stride] BF16, or fp32 for kLogits
  int32_t out_stride;
  Epilogue epilogue;
  RowForm form;  // kGated
  WeightsAhead weights_ahead = {};
  CacheAhead cache_ahead = {};
};

// What the launcher must know of the device.
struct DeviceLimits {
  int32_t num_sms = 0;
  int32_t shared_bytes_per_block = 0;  // the most that a block may ask for
  int32_t l2_bytes = 0;
  bool has_wgmma = false;  // a Hopper GPU
};

void LaunchLinear(const LinearCall& call, const DeviceLimits& limits, cudaStream_t stream);

}  // namespace fourstep::cuda
