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

// encode(n, row, decoded): a row [k] of a dense weight, and what its encoding decodes to. Errors are summed
// by row and then in the order of the rows: the same for any number of threads.
template <typename F>
void EncodeEachRow(const LinearWeight& weight, int num_threads, const F& encode, EncodedWeight& out) {
  const auto k = static_cast<size_t>(weight.k);
  std::vector<double> error_squares(static_cast<size_t>(weight.n)), squares(error_squares.size());
#pragma omp parallel num_threads(num_threads)
  {
    std::vector<float> row(k), decoded(k);
#pragma omp for schedule(static, kRowChunk)
    for (int64_t n = 0; n < weight.n; ++n) {
      DecodeRow(weight, n, row.data());
      encode(n, row.data(), decoded.data());
      double error = 0, norm = 0;
      for (size_t i = 0; i < k; ++i) {
        const double difference = double{decoded[i]} - double{row[i]};
        error += difference * difference;
        norm += double{row[i]} * double{row[i]};
      }
      error_squares[static_cast<size_t>(n)] = error;
      squares[static_cast<size_t>(n)] = norm;
    }
  }
  for (const double e : error_squares) out.error_squares += e;
  for (const double s : squares) out.squares += s;
}

}  // namespace

std::vector<float> RowAmax(const LinearWeight& weight, int num_threads) {
  // Bit patterns of magnitudes are ordered as the magnitudes are, and those of infinity and NaN come last:
  // one maximum finds both the amax and what is not finite.
  std::vector<float> amax(static_cast<size_t>(weight.n));
  uint32_t max_bits = 0;
#pragma omp parallel num_threads(num_threads) reduction(max : max_bits)
  {
    std::vector<float> row(static_cast<size_t>(weight.k));
#pragma omp for schedule(static)
    for (int64_t n = 0; n < weight.n; ++n) {
      DecodeRow(weight, n, row.data());
      uint32_t row_bits = 0;
      for (const float x : row) row_bits = std::max(row_bits, FloatBits(x) & 0x7FFFFFFFu);
      amax[static_cast<size_t>(n)] = FloatFromBits(row_bits);
      max_bits = std::max(max_bits, row_bits);
    }
  }
  if (max_bits >= 0x7F800000u)
    throw Error(weight.name, "has a weight that is NaN or infinite, expected finite ones");
  return amax;
}

float WeightAmax(const LinearWeight& weight, int num_threads) {
  return std::ranges::max(RowAmax(weight, num_threads));
}

EncodedWeight EncodeRows(const LinearWeight& weight, float global_scale, int num_threads,
                         BlockEncoder encode) {
  constexpr int64_t kBlock = NvFp4::kBlockValues;
  FOURSTEP_CHECK(weight.k % kBlock == 0 && !IsFourBit(weight.format), "{}: k {}", weight.name, weight.k);
  const int64_t row_blocks = weight.k / kBlock;
  EncodedWeight out;
  out.codes.resize(static_cast<size_t>(weight.n * weight.k / 2));
  out.block_scales.resize(static_cast<size_t>(weight.n * row_blocks));
  const auto encode_row = [&](int64_t n, const float* row, float* decoded) {
    for (int64_t b = 0; b < row_blocks; ++b) {
      const NvFp4::Block block = encode(row + b * kBlock, global_scale);
      std::memcpy(out.codes.data() + (n * row_blocks + b) * NvFp4::kBlockCodeBytes, block.codes,
                  NvFp4::kBlockCodeBytes);
      out.block_scales[static_cast<size_t>(n * row_blocks + b)] = block.scale;
      NvFp4::Decode(block, global_scale, decoded + b * kBlock);
    }
  };
  EncodeEachRow(weight, num_threads, encode_row, out);
  return out;
}

EncodedWeight EncodeFp8(const LinearWeight& weight, std::span<const float> output_scales, int num_threads) {
  EncodedWeight out;
  out.codes.resize(static_cast<size_t>(weight.n * weight.k));
  const auto encode_row = [&](int64_t n, const float* row, float* decoded) {
    const float scale = output_scales[output_scales.size() == 1 ? 0 : static_cast<size_t>(n)];
    std::byte* to = out.codes.data() + n * weight.k;
    for (int64_t i = 0; i < weight.k; ++i) {
      const uint8_t code = E4M3::Encode(row[i] / scale);
      to[i] = std::byte{code};
      decoded[i] = E4M3::Decode(code) * scale;
    }
  };
  EncodeEachRow(weight, num_threads, encode_row, out);
  return out;
}

}  // namespace fourstep
