#include "cpu/packed_linear.h"

#include <algorithm>
#include <cstring>

#include "backend/linear_stack.h"

namespace fourstep::cpu {
namespace {

// Nibbles 0..7 of x to the order 0 4 1 5 2 6 3 7.
uint32_t InterleaveNibbles(uint32_t x) {
  uint32_t t = (x ^ (x >> 8)) & 0x0000FF00u;
  x ^= t ^ (t << 8);
  t = (x ^ (x >> 4)) & 0x00F000F0u;
  return x ^ t ^ (t << 4);
}

void PackFourBitRow(const LinearWeight& w, int64_t n, PackedWeight& out) {
  const int64_t num_blocks = w.k / 16, blocks_per_scale = BlockValues(w.format) / 16;
  const std::byte* row = w.values.data() + n * (w.k / 2);
  const uint8_t* scales = w.block_scales.data() + n * (num_blocks / blocks_per_scale);
  const int64_t group = n / kLanes, lane = n % kLanes;
  uint8_t* codes = out.codes.data() + group * num_blocks * kBlockBytes;
  uint8_t* packed_scales = out.scales.data() + group * num_blocks * kLanes;
  for (int64_t b = 0; b < num_blocks; ++b) {
    for (int64_t half = 0; half < 2; ++half) {
      uint32_t nibbles;
      std::memcpy(&nibbles, row + b * 8 + half * 4, 4);
      nibbles = InterleaveNibbles(nibbles);
      std::memcpy(codes + b * kBlockBytes + half * 64 + lane * 4, &nibbles, 4);
    }
    packed_scales[b * kLanes + lane] = scales[b / blocks_per_scale];
  }
}

void PackFp8Row(const LinearWeight& w, int64_t n, PackedWeight& out) {
  const std::byte* row = w.values.data() + n * w.k;
  uint8_t* to = out.codes.data() + (n / kLanes) * out.padded_k * kLanes + n % kLanes;
  for (int64_t i = 0; i < w.k; ++i) to[i * kLanes] = static_cast<uint8_t>(row[i]);
}

void PackDenseRow(const LinearWeight& w, int64_t n, std::vector<float>& row, PackedWeight& out) {
  row.resize(static_cast<size_t>(w.k));
  DecodeRow(w, n, row.data());
  uint16_t* to = out.dense.data() + (n / kLanes) * out.padded_k * kLanes + 2 * (n % kLanes);
  for (int64_t i = 0; i < w.k; ++i)
    to[(i / 2) * 2 * kLanes + i % 2] = BFloat16::Encode(row[static_cast<size_t>(i)]).bits;
}

PackedForm FormOf(const LinearWeight& w, Numerics numerics) {
  if (numerics != Numerics::kBf16) return PackedForm::kFourBit;
  return w.format == WeightFormat::kFp8 ? PackedForm::kFp8 : PackedForm::kBf16;
}

// What undoes the kernels' powers of two and applies the scales of output `n`.
float Alpha(const LinearWeight& w, Numerics numerics, int64_t n) {
  if (w.format == WeightFormat::kFp8) return OutputScale(w, n) / kE4M3Bias;
  if (numerics == Numerics::kBf16 || w.format == WeightFormat::kMxFp4) return 1;
  const float alpha = w.global_scale / kE4M3Bias;
  return numerics == Numerics::kW4A4 ? 0.25f * alpha * *w.input_scale : alpha;
}

void PackRow(const LinearWeight& w, int64_t n, std::vector<float>& scratch, PackedWeight& out) {
  switch (out.form) {
    case PackedForm::kFourBit:
      return PackFourBitRow(w, n, out);
    case PackedForm::kFp8:
      return PackFp8Row(w, n, out);
    case PackedForm::kBf16:
      return PackDenseRow(w, n, scratch, out);
  }
}

}  // namespace

PackedWeight PackWeight(const LinearWeight& w, Numerics numerics, ThreadPool& threads) {
  PackedWeight out;
  out.n = w.n;
  out.k = w.k;
  out.num_groups = (w.n + kLanes - 1) / kLanes;
  out.padded_k = (w.k + 3) / 4 * 4;
  out.form = FormOf(w, numerics);
  if (w.format == WeightFormat::kMxFp4) out.scale_format = BlockScaleFormat::kE8M0;
  const auto padded_n = static_cast<size_t>(out.num_groups * kLanes);
  for (int64_t n = 0; n < w.n; ++n) out.alpha.push_back(Alpha(w, numerics, n));
  out.alpha.resize(padded_n, 1.0f);
  out.bias.assign(padded_n, 0.0f);
  std::copy(w.bias.begin(), w.bias.end(), out.bias.begin());
  if (out.form == PackedForm::kFourBit) {
    const auto num_blocks = static_cast<size_t>(out.num_groups * (w.k / 16));
    out.codes = MappedMemory<uint8_t>(num_blocks * kBlockBytes);
    out.scales = MappedMemory<uint8_t>(num_blocks * kLanes);
  } else if (out.form == PackedForm::kFp8) {
    out.codes = MappedMemory<uint8_t>(padded_n * static_cast<size_t>(out.padded_k));
  } else {
    out.dense = MappedMemory<uint16_t>(padded_n * static_cast<size_t>(out.padded_k));
  }
  threads.ForShares(out.num_groups, threads.num_threads(), [&](int64_t first, int64_t last, int) {
    std::vector<float> row;
    for (int64_t n = first * kLanes; n < std::min(w.n, last * kLanes); ++n) PackRow(w, n, row, out);
  });
  return out;
}

}  // namespace fourstep::cpu
