// The weight of one linear layer as every backend receives it, whatever dialect the checkpoint spoke.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fourstep {

enum class WeightFormat { kBf16, kFp16, kFp32, kFp8, kNvFp4, kMxFp4 };

inline constexpr std::string_view WeightFormatName(WeightFormat format) {
  switch (format) {
    case WeightFormat::kBf16:
      return "bf16";
    case WeightFormat::kFp16:
      return "fp16";
    case WeightFormat::kFp32:
      return "fp32";
    case WeightFormat::kFp8:
      return "fp8";
    case WeightFormat::kNvFp4:
      return "nvfp4";
    case WeightFormat::kMxFp4:
      return "mxfp4";
  }
  return "";
}

// Views into memory that outlives the backend's AddLinear call (usually the mapped checkpoint).
struct LinearWeight {
  std::string name;  // module, for messages: "model.layers.3.mlp.down_proj"
  WeightFormat format = WeightFormat::kBf16;
  int64_t n = 0, k = 0;               // outputs, inputs: y[n] = sum_k w[n, k] x[k]
  std::span<const std::byte> values;  // dense: [n, k] of the format (FP8: E4M3, none NaN); 4-bit: codes [n,
                                      // k/2], even k in the low nibble
  std::span<const uint8_t>
      block_scales;           // 4-bit: [n, k/16] E4M3 (NVFP4) or [n, k/32] E8M0 (MXFP4); else empty
  float global_scale = 1.0f;  // NVFP4: w = e2m1 * e4m3 * global_scale
  std::span<const float>
      output_scales;                 // FP8: [n], or [1] for all outputs; w = e4m3 * its output's; else empty
  std::optional<float> input_scale;  // calibrated per-tensor scale of the input; absent: no W4A4
  std::span<const float> bias;       // [n] or empty
  std::span<const float> pre_quant_scale;  // [k] or empty: the input is multiplied by it first (AWQ)
};

}  // namespace fourstep
