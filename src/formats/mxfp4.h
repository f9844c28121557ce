// MXFP4: blocks of 32 consecutive values; value = e2m1(code) * 2^(scale - 127). No tensor scale.
// Source: OCP Microscaling Formats (MX) v1.0.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/host_device.h"
#include "formats/e2m1.h"
#include "formats/e8m0.h"

namespace fourstep {

struct MxFp4 {
  static constexpr std::string_view kName = "mxfp4";
  static constexpr int kBlockValues = 32;
  static constexpr int kBlockCodeBytes = kBlockValues / 2;

  struct Block {
    uint8_t codes[kBlockCodeBytes];  // value 2j in the low nibble of byte j, value 2j+1 in the high one
    uint8_t scale;                   // E8M0
  };

  static FOURSTEP_HD void Decode(const Block& block, float* out /*[32]*/) {
    const float scale = E8M0::Decode(block.scale);
    for (int i = 0; i < kBlockValues; ++i) {
      out[i] = E2M1::Decode(block.codes[i / 2] >> (4 * (i & 1)) & 0xFu) * scale;
    }
  }

  // The scale is the smallest power of two that clips nothing (2^ceil(log2(amax / 6))); writers of the OCP
  // rule clip the top quarter octave instead. Finite x.
  static FOURSTEP_HD Block Encode(const float* x /*[32]*/) {
    Block block{};
    float amax = 0;
    for (int i = 0; i < kBlockValues; ++i) {
      const float a = x[i] < 0 ? -x[i] : x[i];
      amax = a > amax ? a : amax;
    }
    block.scale = E8M0::EncodeUp(amax / E2M1::kMax);
    const float scale = E8M0::Decode(block.scale);
    for (int i = 0; i < kBlockValues; ++i) {
      block.codes[i / 2] =
          static_cast<uint8_t>(block.codes[i / 2] | E2M1::Encode(x[i] / scale) << (4 * (i & 1)));
    }
    return block;
  }
};

}  // namespace fourstep
