#include "quantize/encoded_weight.h"

#include <algorithm>
#include <cstring>

#include "backend/linear_stack.h"
#include "base/check.h"
#include "base/error.h"
#include "formats/bfloat16.h"

namespace fourstep {
namespace {

// Rows that a thread takes at a time.
constexpr int kRowChunk = 16;

}  // namespace

float WeightAmax(const LinearWeight& weight, int num_threads) {
  // Bit patterns of magnitudes are ordered as the magnitudes are, and those of infinity and NaN come last:
  // one maximum finds both the amax and what is not finite.
  uint32_t max_bits = 0;
#pragma omp parallel num_threads(num_threads) reduction(max : max_bits)
  {
    std::vector<float> row(static_cast<size_t>(weight.k));
#pragma omp for schedule(static)
    for (int64_t n = 0; n < weight.n; ++n) {
      DecodeRow(weight, n, row.data());
      for (const float x : row) max_bits = std::max(max_bits, FloatBits(x) & 0x7FFFFFFFu);
    }
  }
  if (max_bits >= 0x7F800000u)
    throw Error(weight.name, "has a weight that is NaN or infinite, expected finite ones");
  return FloatFromBits(max_bits);
}

EncodedWeight EncodeRows(const LinearWeight& weight, float global_scale, int num_threads,
                         BlockEncoder encode) {
  constexpr int64_t kBlock = NvFp4::kBlockValues;
  FOURSTEP_CHECK(weight.k % kBlock == 0 && !IsFourBit(weight.format), "{}: k {}", weight.name, weight.k);
  const int64_t row_blocks = weight.k / kBlock;
  EncodedWeight out;
  out.codes.resize(static_cast<size_t>(weight.n * weight.k / 2));
  out.block_scales.resize(static_cast<size_t>(weight.n * row_blocks));
  // Sums per row, added up in the order of the rows: the same for any number of threads.
  std::vector<double> error_squares(static_cast<size_t>(weight.n)), squares(error_squares.size());
#pragma omp parallel num_threads(num_threads)
  {
    std::vector<float> row(static_cast<size_t>(weight.k));
#pragma omp for schedule(static, kRowChunk)
    for (int64_t n = 0; n < weight.n; ++n) {
      DecodeRow(weight, n, row.data());
      double error = 0, norm = 0;
      for (int64_t b = 0; b < row_blocks; ++b) {
        const float* x = row.data() + b * kBlock;
        const NvFp4::Block block = encode(x, global_scale);
        std::memcpy(out.codes.data() + (n * row_blocks + b) * NvFp4::kBlockCodeBytes, block.codes,
                    NvFp4::kBlockCodeBytes);
        out.block_scales[static_cast<size_t>(n * row_blocks + b)] = block.scale;
        float decoded[kBlock];
        NvFp4::Decode(block, global_scale, decoded);
        for (int i = 0; i < kBlock; ++i) {
          const double difference = double{decoded[i]} - double{x[i]};
          error += difference * difference;
          norm += double{x[i]} * double{x[i]};
        }
      }
      error_squares[static_cast<size_t>(n)] = error;
      squares[static_cast<size_t>(n)] = norm;
    }
  }
  for (const double e : error_squares) out.error_squares += e;
  for (const double s : squares) out.squares += s;
  return out;
}

}  // namespace fourstep
