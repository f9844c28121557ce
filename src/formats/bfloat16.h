// BF16: the upper half of an IEEE binary32.
#pragma once

#include <bit>
#include <cstdint>

#include "base/host_device.h"

namespace fourstep {

// Bit patterns of float, on host and device.
FOURSTEP_HD uint32_t FloatBits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return std::bit_cast<uint32_t>(x);
#endif
}
FOURSTEP_HD float FloatFromBits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return std::bit_cast<float>(bits);
#endif
}

struct BFloat16 {
  uint16_t bits;

  static FOURSTEP_HD float Decode(BFloat16 x) { return FloatFromBits(uint32_t{x.bits} << 16); }

  // To nearest, ties to even; overflow to infinity, NaN stays a (quiet) NaN.
  static FOURSTEP_HD BFloat16 Encode(float x) {
#if defined(__CUDA_ARCH__)  // from sm_80 on; gives the NaN 0x7FFF
    uint16_t converted;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(converted) : "f"(x));
    return {converted};
#else
    const uint32_t b = FloatBits(x);
    if ((b & 0x7FFFFFFFu) > 0x7F800000u) return {static_cast<uint16_t>(b >> 16 | 0x40u)};
    return {static_cast<uint16_t>((b + 0x7FFFu + (b >> 16 & 1u)) >> 16)};
#endif
  }
};

// x rounded to BF16, as a float.
FOURSTEP_HD float RoundToBFloat16(float x) {
  return BFloat16::Decode(BFloat16::Encode(x));
}

}  // namespace fourstep
