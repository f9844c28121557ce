// What becomes of the sums of a linear: the epilogues, of one row of the batch and one output a lane.
#pragma once

#include <cstdint>

#include "cuda/kernel_util.cuh"
#include "cuda/linear.h"
#include "cuda/row_form.cuh"

namespace fourstep::cuda {

// What the sum of an output is combined with. Nothing here waits for what is loaded, so that it may be long
// under way when Finish comes.
struct Factors {
  float alpha, bias;
  uint16_t residual;  // BF16: for kResidual what the output is added to
};
__device__ __forceinline__ Factors LoadFactors(const LinearCall& c, int tile, int i, int row) {
  Factors f{};
  if (row >= c.num_rows) return f;
  const int packed = tile * kTileOutputs + i;
  f.alpha = c.linear.alpha[packed];
  if (c.linear.bias != nullptr) f.bias = c.linear.bias[packed];
  if (c.epilogue == Epilogue::kResidual) {
    const int output = OutputOfRow(c.linear, packed);
    if (output >= 0) f.residual = static_cast<const uint16_t*>(c.out)[int64_t{row} * c.out_stride + output];
  }
  return f;
}
__device__ __forceinline__ float Finish(const Factors& f, float sum) {
  return fmaf(f.alpha, sum, f.bias + BFloat16::Decode({f.residual}));
}

// `packed`: row of the weights.
__device__ __forceinline__ void StoreOutput(const LinearCall& c, const Factors& factors, float sum,
                                            int packed, int row) {
  const int output = OutputOfRow(c.linear, packed);
  if (row >= c.num_rows || output < 0) return;
  const float y = Finish(factors, sum);
  const int64_t at = int64_t{row} * c.out_stride + output;
  if (c.epilogue == Epilogue::kLogits) {
    static_cast<float*>(c.out)[at] = y;
  } else {
    static_cast<uint16_t*>(c.out)[at] = BFloat16::Encode(y).bits;
  }
}

// silu(gate) * up of gated output `output`. 16 lanes in a row, the first at a multiple of 16, hold a block of
// NVFP4 of one row: all of them must come.
__device__ __forceinline__ void StoreGatedOutput(const LinearCall& c, float gate, float up, int output,
                                                 int row) {
  const bool exists = row < c.num_rows && output < c.linear.pair_outputs;
  float y[1] = {exists ? RoundForConsumer(gate / (1.0f + expf(-gate)) * up, output, c.form) : 0.0f};
  if (c.form.is_nvfp4) {
    float amax = fabsf(y[0]);
    for (int distance = 8; distance > 0; distance /= 2)
      amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, distance));
    QuantizePartOfBlock(y, amax, c.form.inverse_scale);
  }
  if (exists)
    static_cast<uint16_t*>(c.out)[int64_t{row} * c.out_stride + output] = BFloat16::Encode(y[0]).bits;
}

}  // namespace fourstep::cuda
