// IEEE binary16, for checkpoints that hold it. Host only: nothing computes in it.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace fourstep {

struct Float16 {
  uint16_t bits;

  static float Decode(Float16 x) {
    const uint32_t sign = uint32_t{x.bits & 0x8000u} << 16;
    const uint32_t exponent = x.bits >> 10 & 0x1Fu, mantissa = x.bits & 0x3FFu;
    if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact
      const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
      return sign ? -magnitude : magnitude;
    }
    const uint32_t wide_exponent = exponent == 31 ? 255 : exponent + 112;
    return std::bit_cast<float>(sign | wide_exponent << 23 | mantissa << 13);
  }
};

}  // namespace fourstep
