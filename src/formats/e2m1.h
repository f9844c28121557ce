// E2M1, the 4-bit float of NVFP4 and MXFP4: 1 sign, 2 exponent (bias 1), 1 mantissa bit. Magnitudes
// 0, 0.5, 1, 1.5, 2, 3, 4, 6 in the order of their codes; no infinities, no NaN; code 8 is negative zero.
// Source: OCP Microscaling Formats (MX) v1.0, 5.3.3.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/bfloat16.h"

namespace fourstep {

struct E2M1 {
  static constexpr float kMax = 6.0f;

  // Twice the value, an integer in -12..12: sums of products of these are exact in int32.
  static FOURSTEP_HD int32_t DecodeDoubled(uint8_t code) {
    // Eight 4-bit entries, code c in bits 4c..4c+3: 0 1 2 3 4 6 8 12.
    const auto magnitude = static_cast<int32_t>(0xC8643210u >> (4 * (code & 7u)) & 0xFu);
    return code & 8u ? -magnitude : magnitude;
  }

  static FOURSTEP_HD float Decode(uint8_t code) { return 0.5f * static_cast<float>(DecodeDoubled(code)); }

  // To nearest, ties to the even code, saturating at 6. The sign of x is kept, also on zero. NaN encodes as
  // +-6: finite inputs are the caller's duty.
  static FOURSTEP_HD uint8_t Encode(float x) {
    const uint32_t magnitude = FloatBits(x) & 0x7FFFFFFFu;
    uint32_t code;
    if (magnitude < 0x3F800000u) {
      // Below 1, a multiple of 0.5. Adding 1.5 * 2^23 such quanta leaves the rounded count in the low bits.
      code = FloatBits(FloatFromBits(magnitude) + 0x1.8p22f) & 3u;
    } else {  // round the mantissa to one bit, ties to even; a carry moves into the exponent as it should
      code = ((magnitude + 0x1FFFFFu + (magnitude >> 22 & 1u)) >> 22) - (126u << 1);
      code = code < 7u ? code : 7u;
    }
    return static_cast<uint8_t>(code | (x < 0 ? 8u : 0u));
  }

  // Decode(Encode(x)), in a few operations without branches: what is added and taken away again leaves a
  // multiple of the distance of neighbours, the even one of two.
  static FOURSTEP_HD float Round(float x) {
    const float magnitude = FloatFromBits(FloatBits(x) & 0x7FFFFFFFu),
                a = magnitude < kMax ? magnitude : kMax;
    const float shift = a < 2 ? 0x1.8p22f : a < 4 ? 0x1.8p23f : 0x1.8p24f;
    const float rounded = (a + shift) - shift;
    return x < 0 ? 0.0f - rounded : rounded;
  }
};

}  // namespace fourstep
