// A dense weight and its 4-bit or 8-bit form: the largest magnitudes, and the encoding of all rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/linear_weight.h"
#include "formats/nvfp4.h"

namespace fourstep {

// NVFP4 or FP8 with what the encoding lost, in squared values.
struct EncodedWeight {
  std::vector<std::byte> codes;       // [n, k/2], even k in the low nibble; FP8: [n, k]
  std::vector<uint8_t> block_scales;  // [n, k/16] E4M3; FP8: none
  double error_squares = 0;           // sum over (Q(W) - W)^2
  double squares = 0;                 // sum over W^2
};

// max |w| of each row of a dense weight [n], and of all of it. Throws Error, naming the weight, where a value
// is NaN or infinite.
std::vector<float> RowAmax(const LinearWeight& weight, int num_threads);
float WeightAmax(const LinearWeight& weight, int num_threads);

// The scale of one block and its codes, given 16 values and the tensor's global scale.
using BlockEncoder = NvFp4::Block (*)(const float* x /*[16]*/, float global_scale);

// Encodes a dense weight whose k is a multiple of 16 and whose values are finite. The result does not depend
// on the number of threads.
EncodedWeight EncodeRows(const LinearWeight& weight, float global_scale, int num_threads,
                         BlockEncoder encode);

// Encodes a dense weight of finite values by E4M3(w / scale) with the scale of its row, or with one for all.
// The result does not depend on the number of threads.
EncodedWeight EncodeFp8(const LinearWeight& weight, std::span<const float> output_scales, int num_threads);

}  // namespace fourstep
