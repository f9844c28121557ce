// E8M0, the block scale of the MX formats: a power of two, 2^(code - 127); 0xFF is NaN.
// Source: OCP Microscaling Formats (MX) v1.0, 5.4.1.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "formats/bfloat16.h"

namespace fourstep {

struct E8M0 {
  static FOURSTEP_HD float Decode(uint8_t code) {
    if (code == 0xFF) return FloatFromBits(0x7FC00000u);
    if (code == 0) return 0x1p-127f;  // a float subnormal
    return FloatFromBits(uint32_t{code} << 23);
  }

  // The smallest power of two >= x, so that nothing scaled by it clips; x >= 0 and finite. Clamped to the
  // range.
  static FOURSTEP_HD uint8_t EncodeUp(float x) {
    const uint32_t bits = FloatBits(x);
    const uint32_t exponent = bits >> 23, mantissa = bits & 0x7FFFFFu;
    if (exponent == 0) return mantissa > 0x400000u ? 1 : 0;  // subnormal: 2^-127 is mantissa 0x400000
    const uint32_t code = exponent + (mantissa != 0 ? 1 : 0);
    return static_cast<uint8_t>(code > 254 ? 254 : code);
  }
};

}  // namespace fourstep
