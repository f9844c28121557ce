// e^x in fp32 for x <= 0, branch-free, for one float or four at once. The result is the same on every
// machine, which the exp of a C library does not promise.
#pragma once

#include <bit>
#include <cstdint>

#include "base/host_device.h"

namespace fourstep {

#if !defined(__CUDACC__)
// Four floats and their bits, as GCC and Clang know them on every machine. A comparison gives lanes of 0 or
// -1.
using Float4 = float __attribute__((vector_size(16)));
using Int4 = int32_t __attribute__((vector_size(16)));
using Bits4 = uint32_t __attribute__((vector_size(16)));
#endif

// Below this, e^x counts as 0: the smallest normal floats.
inline constexpr float kExpUnderflow = -87.0f;

// Error below 1 ulp; exactly 1 at 0; exactly 0 from kExpUnderflow down and for NaN. F is float or Float4, U
// uint32_t or Bits4. x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7, whose
// remainder is below 2^-27 there; ln 2 is split so that n times its high part is exact.
template <class F, class U>
FOURSTEP_HD F ExpNonPositive(F x) {
  constexpr float kLog2E = 0x1.715476p+0f, kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  constexpr float kRoundToInteger = 0x1.8p23f;  // adding it leaves the integer in the low bits
  const F zero = {}, underflow = zero + kExpUnderflow;
  const F bounded = x > underflow ? x : underflow;
  const F shifted = bounded * kLog2E + kRoundToInteger;
  const F n = shifted - kRoundToInteger;
  const F r = (bounded - n * kLn2High) - n * kLn2Low;
  F p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  const F scaled = std::bit_cast<F>(std::bit_cast<U>(p) + (std::bit_cast<U>(shifted) << 23));
  return x > underflow ? scaled : zero;
}

FOURSTEP_HD float ExpNonPositive(float x) {
  return ExpNonPositive<float, uint32_t>(x);
}
#if !defined(__CUDACC__)
inline Float4 ExpNonPositive(Float4 x) {
  return ExpNonPositive<Float4, Bits4>(x);
}
#endif

}  // namespace fourstep
