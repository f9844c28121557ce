// E4M3 ("fn"), the 8-bit float of NVFP4's block scales: 1 sign, 4 exponent (bias 7), 3 mantissa bits. No
// infinities; 0x7F and 0xFF are NaN; the largest value is 448. Source: OCP 8-bit Floating Point (OFP8) v1.0.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/bfloat16.h"

namespace fourstep {

struct E4M3 {
  static constexpr float kMax = 448.0f;
  static constexpr float kMinPositive = 0x1p-9f;
  static constexpr uint8_t kMaxCode = 0x7E;

  // Of values whose largest magnitude is `amax`: the scale that makes it 448. 1 where it is 0.
  static FOURSTEP_HD float Scale(float amax) { return amax > 0 ? amax / kMax : 1.0f; }

  static FOURSTEP_HD bool IsNaN(uint8_t code) { return (code & 0x7Fu) == 0x7Fu; }

  static FOURSTEP_HD float Decode(uint8_t code) {
    const uint32_t magnitude = code & 0x7Fu;
    float value;
    if (magnitude == 0x7F) {
      value = FloatFromBits(0x7FC00000u);
    } else if (magnitude < 8) {
      value = static_cast<float>(magnitude) * 0x1p-9f;
    } else {  // exponent and mantissa move into place; the bias grows from 7 to 127
      value = FloatFromBits((magnitude << 20) + (120u << 23));
    }
    return code & 0x80u ? -value : value;
  }

  // To nearest, ties to even; beyond 448 saturates. NaN gives the NaN code.
  static FOURSTEP_HD uint8_t Encode(float x) {
    const uint32_t bits = FloatBits(x);
    const auto sign = static_cast<uint8_t>(bits >> 24 & 0x80u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return sign | 0x7Fu;
    const float a = FloatFromBits(magnitude);
    if (a >= kMax) return sign | kMaxCode;
    if (a < 0x1p-6f) {
      // Subnormal: a multiple of 2^-9. Adding 1.5 * 2^23 quanta leaves the rounded count in the low bits.
      const float shifted = a + 0x1.8p14f;
      return static_cast<uint8_t>(sign | (FloatBits(shifted) & 0xFu));
    }
    // Round the mantissa to 3 bits, ties to even; a carry moves into the exponent as it should.
    const uint32_t rounded = magnitude + 0x7FFFFu + (magnitude >> 20 & 1u);
    return static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
  }
};

}  // namespace fourstep
