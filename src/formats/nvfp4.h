// NVFP4: blocks of 16 consecutive values; value = e2m1(code) * e4m3(block scale) * g, with one fp32 g a
// tensor. docs/numerics.md has the definition and why each step is rounded as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/host_device.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"

namespace fourstep {

struct NvFp4 {
  static constexpr std::string_view kName = "nvfp4";
  static constexpr int kBlockValues = 16;
  static constexpr int kBlockCodeBytes = kBlockValues / 2;
  // The largest magnitude that g = 1 can express.
  static constexpr float kTensorMax = E2M1::kMax * E4M3::kMax;

  struct Block {
    uint8_t codes[kBlockCodeBytes];  // value 2j in the low nibble of byte j, value 2j+1 in the high one
    uint8_t scale;                   // E4M3, never negative
  };

  // g of a tensor whose largest magnitude is `amax`: the largest block scale is then 448. 1 for a zero
  // tensor.
  static FOURSTEP_HD float GlobalScale(float amax) { return amax > 0 ? amax / kTensorMax : 1.0f; }

  static FOURSTEP_HD void Decode(const Block& block, float global_scale, float* out /*[16]*/) {
    const float scale = E4M3::Decode(block.scale) * global_scale;
    for (int i = 0; i < kBlockValues; ++i) {
      out[i] = E2M1::Decode(block.codes[i / 2] >> (4 * (i & 1)) & 0xFu) * scale;
    }
  }

  // Weights, offline. b = E4M3(amax / 6 / g), at least 2^-9; code = E2M1(x / (b * g)) with the rounded b.
  // Finite x.
  static FOURSTEP_HD Block EncodeWeight(const float* x /*[16]*/, float global_scale) {
    Block block{};
    const float wanted = BlockMax(x) / E2M1::kMax / global_scale;
    block.scale = E4M3::Encode(wanted < E4M3::kMinPositive ? E4M3::kMinPositive : wanted);
    const float step = E4M3::Decode(block.scale) * global_scale;
    for (int i = 0; i < kBlockValues; ++i)
      SetCode(block, i, step > 0 ? E2M1::Encode(x[i] / step) : uint8_t{0});
    return block;
  }

  // Activations, at run time, against the calibrated input scale g. r = 1 / g once per tensor
  // (`inverse_scale`); b = E4M3(min(amax / 6 * r, 448)); code = E2M1(x * (r / b)); b = 0 gives zero codes.
  // This order of fp32 operations, each rounded to nearest, is the definition: every backend's encoder gives
  // these bytes.
  static FOURSTEP_HD Block EncodeActivation(const float* x /*[16]*/, float inverse_scale) {
    Block block{};
    block.scale = E4M3::Encode(BlockMax(x) / E2M1::kMax * inverse_scale);
    if (block.scale == 0) return block;
    const float factor = inverse_scale / E4M3::Decode(block.scale);
    for (int i = 0; i < kBlockValues; ++i) SetCode(block, i, E2M1::Encode(x[i] * factor));
    return block;
  }

  static FOURSTEP_HD float BlockMax(const float* x /*[16]*/) {
    float amax = 0;
    for (int i = 0; i < kBlockValues; ++i) {
      const float a = x[i] < 0 ? -x[i] : x[i];
      amax = a > amax ? a : amax;
    }
    return amax;
  }

 private:
  static FOURSTEP_HD void SetCode(Block& block, int i, uint8_t code) {
    block.codes[i / 2] = static_cast<uint8_t>(block.codes[i / 2] | code << (4 * (i & 1)));
  }
};

}  // namespace fourstep
