// What every backend does with the weights of one linear before it repacks them: check the stack and the
// sizes, and decode rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>

#include "backend/numerics.h"
#include "base/error.h"
#include "formats/bfloat16.h"
#include "formats/e4m3.h"
#include "formats/float16.h"
#include "formats/linear_weight.h"
#include "formats/mxfp4.h"
#include "formats/nvfp4.h"

namespace fourstep {

inline bool IsFourBit(WeightFormat format) {
  return format == WeightFormat::kNvFp4 || format == WeightFormat::kMxFp4;
}

// Values that share one block scale; 1 where the format is dense.
inline int64_t BlockValues(WeightFormat format) {
  if (format == WeightFormat::kNvFp4) return NvFp4::kBlockValues;
  return format == WeightFormat::kMxFp4 ? MxFp4::kBlockValues : 1;
}

inline int64_t RowBytes(WeightFormat format, int64_t k) {
  if (IsFourBit(format)) return k / 2;
  if (format == WeightFormat::kFp8) return k;
  return format == WeightFormat::kFp32 ? 4 * k : 2 * k;
}

// That a linear of `numerics` reads of a weight, its factors included.
inline int64_t WeightBytes(const LinearWeight& w, Numerics numerics) {
  const bool is_kept = numerics != Numerics::kBf16 || w.format == WeightFormat::kFp8;
  const size_t values =
      is_kept ? w.values.size() + w.block_scales.size() : static_cast<size_t>(2 * w.n * w.k);
  const size_t factors = w.output_scales.size() + w.bias.size() + w.pre_quant_scale.size();
  return static_cast<int64_t>(values + sizeof(float) * factors);
}

// What output `n` of a checked weight multiplies its sum by: FP8's scale.
inline float OutputScale(const LinearWeight& w, int64_t n) {
  if (w.output_scales.empty()) return 1;
  return w.output_scales[w.output_scales.size() == 1 ? 0 : static_cast<size_t>(n)];
}

// Throws Error, naming the weight, where sizes and shape disagree or a scale is not positive and finite.
inline void CheckWeight(const LinearWeight& w) {
  constexpr int64_t kMaxDimension = int64_t{1} << 24;
  if (w.n < 1 || w.n > kMaxDimension || w.k < 1 || w.k > kMaxDimension)
    throw Errorf(w.name, "shape is [{}, {}], expected 1..{} each", w.n, w.k, kMaxDimension);
  const int64_t block = BlockValues(w.format);
  if (w.k % block != 0) throw Errorf(w.name, "has {} inputs, expected a multiple of {}", w.k, block);
  const auto expect = [&](size_t size, int64_t expected, const char* what) {
    if (size != static_cast<size_t>(expected))
      throw Errorf(w.name, "has {} of {}, expected {} for shape [{}, {}]", size, what, expected, w.n, w.k);
  };
  expect(w.values.size(), w.n * RowBytes(w.format, w.k), "value bytes");
  expect(w.block_scales.size(), IsFourBit(w.format) ? w.n * (w.k / block) : 0, "block scales");
  if (!w.bias.empty()) expect(w.bias.size(), w.n, "bias values");
  if (!w.pre_quant_scale.empty()) expect(w.pre_quant_scale.size(), w.k, "pre_quant_scale values");
  const bool has_one_scale = w.format == WeightFormat::kFp8 && w.output_scales.size() == 1;
  if (!has_one_scale)
    expect(w.output_scales.size(), w.format == WeightFormat::kFp8 ? w.n : 0, "output scales");
  const auto is_scale = [](float x) { return x > 0 && std::isfinite(x); };
  const auto fault = std::find_if_not(w.output_scales.begin(), w.output_scales.end(), is_scale);
  if (fault != w.output_scales.end())
    throw Errorf(w.name, "scale of output {} is {}, expected a positive number",
                 fault - w.output_scales.begin(), *fault);
  if (w.format == WeightFormat::kNvFp4 && !is_scale(w.global_scale))
    throw Errorf(w.name, "global scale is {}, expected a positive number", w.global_scale);
  if (w.input_scale && !is_scale(*w.input_scale))
    throw Errorf(w.name, "input scale is {}, expected a positive number", *w.input_scale);
}

// Throws Error for what cannot be an embedding.
inline void CheckTable(const LinearWeight& table) {
  CheckWeight(table);
  if (IsFourBit(table.format) || table.format == WeightFormat::kFp8)
    throw Errorf(table.name, "is an embedding in {}, expected BF16, FP16 or FP32",
                 WeightFormatName(table.format));
}

// Throws Error where `weights` cannot be one linear under `numerics`: see Backend::AddLinear.
inline void CheckStack(std::span<const LinearWeight> weights, Numerics numerics) {
  if (weights.empty()) throw Error("linear", "has no weights, expected one or more");
  const LinearWeight& first = weights.front();
  for (const LinearWeight& w : weights) {
    CheckWeight(w);
    if (w.k != first.k) throw Errorf(w.name, "has {} inputs, expected {} as {}", w.k, first.k, first.name);
    if (!std::equal(w.pre_quant_scale.begin(), w.pre_quant_scale.end(), first.pre_quant_scale.begin(),
                    first.pre_quant_scale.end()))
      throw Errorf(w.name, "has another pre_quant_scale than {}, with which it shares its input", first.name);
    if (numerics == Numerics::kW4A4 && w.format != WeightFormat::kNvFp4)
      throw Error(w.name, "is not NVFP4, as w4a4 needs");
    if (numerics == Numerics::kW4A4 && !w.input_scale)
      throw Error(w.name, "has no input scale, as w4a4 needs: calibrate, or use w4a16");
    if (numerics == Numerics::kW4A4 && *w.input_scale != *first.input_scale)
      throw Errorf(w.name, "input scale is {}, expected {} as {}, with which it shares its input",
                   *w.input_scale, *first.input_scale, first.name);
    if (numerics == Numerics::kW4A16 && !IsFourBit(w.format))
      throw Error(w.name, "does not have 4 bits, as w4a16 needs");
  }
}

// out[k] = row `n` of a checked weight, decoded exactly (4-bit: in fp32, as their formats' Decode; FP8: the
// product with its scale, in fp32).
inline void DecodeRow(const LinearWeight& w, int64_t n, float* out) {
  const std::byte* row = w.values.data() + n * RowBytes(w.format, w.k);
  if (IsFourBit(w.format)) {
    const int64_t block = BlockValues(w.format);
    const uint8_t* scales = w.block_scales.data() + n * (w.k / block);
    for (int64_t b = 0; b < w.k / block; ++b) {
      if (w.format == WeightFormat::kNvFp4) {
        NvFp4::Block values{};
        std::memcpy(values.codes, row + b * NvFp4::kBlockCodeBytes, NvFp4::kBlockCodeBytes);
        values.scale = scales[b];
        NvFp4::Decode(values, w.global_scale, out + b * block);
      } else {
        MxFp4::Block values{};
        std::memcpy(values.codes, row + b * MxFp4::kBlockCodeBytes, MxFp4::kBlockCodeBytes);
        values.scale = scales[b];
        MxFp4::Decode(values, out + b * block);
      }
    }
  } else if (w.format == WeightFormat::kFp8) {
    const float scale = OutputScale(w, n);
    for (int64_t i = 0; i < w.k; ++i) out[i] = E4M3::Decode(static_cast<uint8_t>(row[i])) * scale;
  } else if (w.format == WeightFormat::kFp32) {
    std::memcpy(out, row, static_cast<size_t>(4 * w.k));
  } else {
    for (int64_t i = 0; i < w.k; ++i) {
      uint16_t bits;
      std::memcpy(&bits, row + 2 * i, 2);
      out[i] = w.format == WeightFormat::kBf16 ? BFloat16::Decode({bits}) : Float16::Decode({bits});
    }
  }
}

}  // namespace fourstep
