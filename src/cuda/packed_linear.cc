#include "cuda/packed_linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "backend/linear_stack.h"

namespace fourstep::cuda {
namespace {

// A block scale as the kernels read it: 2^(exponent - 17) * (1 + mantissa / 8), as exponent * 8 + mantissa.
constexpr int kScaleBias = 17, kScaleMaxExponent = 25;

// E4M3 > 0 without its sign.
uint8_t RecodeE4M3(uint8_t code) {
  int exponent = code >> 3, mantissa = code & 7;
  if (exponent == 0) {  // subnormal: mantissa * 2^-9
    exponent = 1;
    while (mantissa < 8) {
      mantissa *= 2;
      --exponent;
    }
    mantissa -= 8;
  }
  return static_cast<uint8_t>((exponent - 7 + kScaleBias) * 8 + mantissa);
}

// Of one row of codes [k / 2] and scales [k / block]: out_scales [k / 16] recoded; a scale of 0 or below
// moves into the codes. Returns what the row must be multiplied by beside its global scale, or nothing where
// its scales span more than the five bits of exponent (MXFP4 only).
std::optional<float> RecodeRow(const LinearWeight& w, int64_t row, uint8_t* codes, uint8_t* out_scales) {
  const int64_t block = BlockValues(w.format), blocks = w.k / block;
  const uint8_t* scales = w.block_scales.data() + row * blocks;
  const auto is_not_a_number = [&](uint8_t s) {
    return w.format == WeightFormat::kNvFp4 ? (s & 0x7F) == 0x7F : s == 0xFF;
  };
  if (std::any_of(scales, scales + blocks, is_not_a_number))
    throw Errorf(w.name, "has a block scale that is no number in row {}", row);
  if (w.format == WeightFormat::kMxFp4) {
    const uint8_t max = *std::max_element(scales, scales + blocks);
    for (int64_t b = 0; b < blocks; ++b) {
      const int exponent = scales[b] - max + kScaleMaxExponent;
      if (exponent < 0) return std::nullopt;
      out_scales[2 * b] = out_scales[2 * b + 1] = static_cast<uint8_t>(exponent * 8);
    }
    return std::ldexp(1.0f, max - 127 - (kScaleMaxExponent - kScaleBias));
  }
  for (int64_t b = 0; b < blocks; ++b) {
    uint8_t* block_codes = codes + b * NvFp4::kBlockCodeBytes;
    if ((scales[b] & 0x7F) == 0) {
      std::memset(block_codes, 0, NvFp4::kBlockCodeBytes);
    } else {
      if (scales[b] & 0x80) {
        for (int i = 0; i < NvFp4::kBlockCodeBytes; ++i) block_codes[i] ^= 0x88;
      }
      out_scales[b] = RecodeE4M3(scales[b] & 0x7F);
    }
  }
  return 1.0f;
}

// Of all outputs of a stack.
std::vector<float> OutputScales(std::span<const LinearWeight> weights) {
  std::vector<float> scales;
  for (const LinearWeight& w : weights) {
    for (int64_t n = 0; n < w.n; ++n) scales.push_back(OutputScale(w, n));
  }
  return scales;
}

// FP8 without the outputs' scales; any other as it is.
LinearWeight Unscaled(LinearWeight w) {
  static constexpr float kOne = 1;
  if (w.format == WeightFormat::kFp8) w.output_scales = {&kOne, 1};
  return w;
}

}  // namespace

PackedLinear::PackedLinear(std::span<const LinearWeight> weights, Numerics numerics) : numerics_(numerics) {
  const LinearWeight& first = weights.front();
  int64_t n = 0;
  for (const LinearWeight& w : weights) n += w.n;
  const bool is_pair = weights.size() == 2 && weights[0].n == weights[1].n;
  const int64_t pair_tiles = is_pair ? (weights[0].n + 15) / 16 * 2 : 0;
  view_ = {.units = nullptr,
           .alpha = nullptr,
           .bias = nullptr,
           .n = static_cast<int32_t>(n),
           .k = static_cast<int32_t>(first.k),
           .num_tiles = static_cast<int32_t>(is_pair ? pair_tiles : (n + kTileOutputs - 1) / kTileOutputs),
           .num_units = static_cast<int32_t>((first.k + kUnitInputs - 1) / kUnitInputs),
           .pair_outputs = static_cast<int32_t>(is_pair ? weights[0].n : 0),
           .kind = UnitKind::kBf16};
  if (numerics == Numerics::kW4A4) input_scale_ = *first.input_scale;
  host_pre_quant_scale_.assign(first.pre_quant_scale.begin(), first.pre_quant_scale.end());
  std::vector<float> padded = host_pre_quant_scale_;  // kernels read whole units of it
  if (!padded.empty()) padded.resize(static_cast<size_t>(view_.num_units) * kUnitInputs, 0.0f);
  pre_quant_scale_ = DeviceArray<float>(padded, "weights");
  const auto is_fp8 = [](const LinearWeight& w) { return w.format == WeightFormat::kFp8; };
  if (numerics != Numerics::kBf16 && PackFourBit(weights)) return;
  std::all_of(weights.begin(), weights.end(), is_fp8) ? PackFp8(weights) : PackBf16(weights);
}

void PackedLinear::AllocateUnits(UnitKind kind) {
  view_.kind = kind;
  const int64_t num_units = int64_t{view_.num_tiles} * view_.num_units;
  units_ = DeviceArray<uint8_t>(static_cast<size_t>(num_units * view_.unit_bytes()), "weights");
  view_.units = units_.data();
}

bool PackedLinear::PackFourBit(std::span<const LinearWeight> weights) {
  const int64_t k = view_.k;
  std::vector<uint8_t> codes(static_cast<size_t>(view_.n * (k / 2))),
      scales(static_cast<size_t>(view_.n * (k / 16)));
  std::vector<float> row_alpha;
  // BF16 patterns of codes are 2^-126 of their values and those of scales 2^118 (weight_units.cuh): 2^8 is
  // missing.
  constexpr float kPatternFactor = 256;
  for (const LinearWeight& w : weights) {
    for (int64_t row = 0; row < w.n; ++row) {
      const size_t to = row_alpha.size();
      uint8_t* row_codes = codes.data() + to * static_cast<size_t>(k / 2);
      std::memcpy(row_codes, w.values.data() + row * (k / 2), static_cast<size_t>(k / 2));
      const auto factor = RecodeRow(w, row, row_codes, scales.data() + to * static_cast<size_t>(k / 16));
      if (!factor) return false;
      const float global = w.format == WeightFormat::kNvFp4 ? w.global_scale : 1.0f;
      row_alpha.push_back(global * input_scale_ * *factor * kPatternFactor);
    }
  }
  const DeviceArray<uint8_t> raw_codes(codes, "weights"), raw_scales(scales, "weights");
  AllocateUnits(UnitKind::kFourBit);
  PackFourBitUnits(view_, raw_codes.data(), raw_scales.data(), units_.data());
  UploadRowVectors(weights, row_alpha);
  FOURSTEP_CUDA(cudaDeviceSynchronize());
  return true;
}

void PackedLinear::PackFp8(std::span<const LinearWeight> weights) {
  DeviceArray<uint8_t> raw(static_cast<size_t>(view_.n) * static_cast<size_t>(view_.k), "weights");
  size_t at = 0;
  for (const LinearWeight& w : weights) {
    FOURSTEP_CUDA(cudaMemcpy(raw.data() + at, w.values.data(), w.values.size(), cudaMemcpyHostToDevice));
    at += w.values.size();
  }
  AllocateUnits(UnitKind::kFp8);
  PackFp8Units(view_, raw.data(), units_.data());
  UploadRowVectors(weights, OutputScales(weights));
  FOURSTEP_CUDA(cudaDeviceSynchronize());
}

// FP8 weights beside others are BF16 without their scales, exactly.
void PackedLinear::PackBf16(std::span<const LinearWeight> weights) {
  const auto k = static_cast<size_t>(view_.k);
  DeviceArray<uint16_t> raw(static_cast<size_t>(view_.n) * k, "weights");
  size_t at = 0;
  for (const LinearWeight& w : weights) {
    const size_t count = static_cast<size_t>(w.n) * k;
    if (w.format == WeightFormat::kBf16) {
      FOURSTEP_CUDA(cudaMemcpy(raw.data() + at, w.values.data(), 2 * count, cudaMemcpyHostToDevice));
    } else {
      const LinearWeight unscaled = Unscaled(w);
      std::vector<float> row(k);
      std::vector<uint16_t> values(count);
      for (int64_t n = 0; n < w.n; ++n) {
        DecodeRow(unscaled, n, row.data());
        for (size_t i = 0; i < k; ++i) values[static_cast<size_t>(n) * k + i] = BFloat16::Encode(row[i]).bits;
      }
      FOURSTEP_CUDA(cudaMemcpy(raw.data() + at, values.data(), 2 * count, cudaMemcpyHostToDevice));
    }
    at += count;
  }
  AllocateUnits(UnitKind::kBf16);
  PackBf16Units(view_, raw.data(), units_.data());
  UploadRowVectors(weights, OutputScales(weights));
  FOURSTEP_CUDA(cudaDeviceSynchronize());
}

void PackedLinear::UploadRowVectors(std::span<const LinearWeight> weights,
                                    const std::vector<float>& row_alpha) {
  std::vector<float> stack_bias;
  bool has_bias = false;
  for (const LinearWeight& w : weights) {
    has_bias = has_bias || !w.bias.empty();
    stack_bias.insert(stack_bias.end(), w.bias.begin(), w.bias.end());
    if (w.bias.empty()) stack_bias.resize(stack_bias.size() + static_cast<size_t>(w.n), 0.0f);
  }
  const auto rows = static_cast<size_t>(view_.num_tiles) * kTileOutputs;
  std::vector<float> alpha(rows, 0.0f), bias(rows, 0.0f);
  for (size_t row = 0; row < rows; ++row) {
    const int32_t output = OutputOfRow(view_, static_cast<int32_t>(row));
    if (output < 0) continue;
    alpha[row] = row_alpha[static_cast<size_t>(output)];
    bias[row] = stack_bias[static_cast<size_t>(output)];
  }
  alpha_ = DeviceArray<float>(alpha, "weights");
  view_.alpha = alpha_.data();
  if (!has_bias) return;
  bias_ = DeviceArray<float>(bias, "weights");
  view_.bias = bias_.data();
}

RowForm PackedLinear::input_form() const {
  return {.pre_quant_scale = pre_quant_scale_.data(),
          .inverse_scale = 1.0f / input_scale_,
          .is_nvfp4 = numerics_ == Numerics::kW4A4};
}

bool PackedLinear::ReadsFormOf(const PackedLinear& o) const {
  return numerics_ == o.numerics_ && input_scale_ == o.input_scale_ &&
         host_pre_quant_scale_ == o.host_pre_quant_scale_;
}

}  // namespace fourstep::cuda
