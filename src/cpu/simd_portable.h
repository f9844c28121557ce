// Sixteen floats in plain C++, for float_kernels.h. Included by kernels_portable.cc only.
#pragma once

#include <cstdint>
#include <cstring>

#include "formats/bfloat16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/e8m0.h"

namespace fourstep::cpu {
namespace {

#define FOURSTEP_INLINE [[maybe_unused]] static inline __attribute__((always_inline))

constexpr int kRowTile = 1;   // rows of a linear that share decoded weights
constexpr int kHeadTile = 1;  // heads of attention that share a load of the cache

struct F16 {
  float v[16];
};
struct I16 {
  uint32_t v[16];
};

template <typename F>
FOURSTEP_INLINE F16 EachLane(const F& f) {
  F16 out;
  for (int i = 0; i < 16; ++i) out.v[i] = f(i);
  return out;
}

FOURSTEP_INLINE F16 Load(const float* p) {
  return EachLane([&](int i) { return p[i]; });
}
FOURSTEP_INLINE void Store(float* p, const F16& a) {
  std::memcpy(p, a.v, sizeof a.v);
}
FOURSTEP_INLINE F16 Set1(float x) {
  return EachLane([&](int) { return x; });
}
FOURSTEP_INLINE F16 Add(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.v[i] + b.v[i]; });
}
FOURSTEP_INLINE F16 Sub(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.v[i] - b.v[i]; });
}
FOURSTEP_INLINE F16 Mul(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.v[i] * b.v[i]; });
}
FOURSTEP_INLINE F16 Div(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.v[i] / b.v[i]; });
}
// Two roundings here, one in the other paths: std::fma without the instruction is a slow call.
FOURSTEP_INLINE F16 Fma(const F16& a, const F16& b, const F16& c) {
  return EachLane([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
FOURSTEP_INLINE F16 Max(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
FOURSTEP_INLINE F16 Min(const F16& a, const F16& b) {
  return EachLane([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
FOURSTEP_INLINE F16 Abs(const F16& a) {
  return EachLane([&](int i) { return FloatFromBits(FloatBits(a.v[i]) & 0x7FFFFFFFu); });  // -0 too
}
// b where a > limit, else 0
FOURSTEP_INLINE F16 WhereGreater(const F16& a, const F16& limit, const F16& b) {
  return EachLane([&](int i) { return a.v[i] > limit.v[i] ? b.v[i] : 0.0f; });
}
// Lanes from `valid` on become `fill`.
FOURSTEP_INLINE F16 FillTail(const F16& a, int valid, float fill) {
  return EachLane([&](int i) { return i < valid ? a.v[i] : fill; });
}
FOURSTEP_INLINE float ReduceAdd(const F16& a) {
  float s[8];
  for (int i = 0; i < 8; ++i) s[i] = a.v[i] + a.v[i + 8];
  for (int width = 4; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) s[i] += s[i + width];
  return s[0];
}
FOURSTEP_INLINE float ReduceMax(const F16& a) {
  float m = a.v[0];
  for (int i = 1; i < 16; ++i) m = a.v[i] > m ? a.v[i] : m;
  return m;
}
FOURSTEP_INLINE F16 LoadBf16(const uint16_t* p) {
  return EachLane([&](int i) { return BFloat16::Decode({p[i]}); });
}
FOURSTEP_INLINE void LoadPairs(const uint16_t* p, F16& even, F16& odd) {
  even = EachLane([&](int i) { return BFloat16::Decode({p[2 * i]}); });
  odd = EachLane([&](int i) { return BFloat16::Decode({p[2 * i + 1]}); });
}
// E4M3 times kE4M3Bias; NaN too.
FOURSTEP_INLINE void LoadPairs(const uint8_t* p, F16& even, F16& odd) {
  even = EachLane([&](int i) { return E4M3::Decode(p[2 * i]) * 0x1p-8f; });
  odd = EachLane([&](int i) { return E4M3::Decode(p[2 * i + 1]) * 0x1p-8f; });
}
FOURSTEP_INLINE F16 LoadCachedE4M3(const uint8_t* p) {
  return EachLane([&](int i) { return E4M3::Decode(p[i]) * 0x1p-8f; });
}
FOURSTEP_INLINE F16 RoundToBf16(const F16& a) {
  return EachLane([&](int i) { return RoundToBFloat16(a.v[i]); });
}
// p * 2^n where the low bits of `shifted` hold n
FOURSTEP_INLINE F16 ScaleByPowerOfTwo(const F16& p, const F16& shifted) {
  return EachLane([&](int i) { return FloatFromBits(FloatBits(p.v[i]) + (FloatBits(shifted.v[i]) << 23)); });
}

FOURSTEP_INLINE I16 LoadDwords(const uint8_t* p) {
  I16 out;
  std::memcpy(out.v, p, sizeof out.v);
  return out;
}
FOURSTEP_INLINE F16 LowNibble(const I16& a) {
  constexpr float kValues[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
  return EachLane([&](int i) { return kValues[a.v[i] & 0xF]; });
}
FOURSTEP_INLINE I16 NextNibble(const I16& a) {
  I16 out;
  for (int i = 0; i < 16; ++i) out.v[i] = a.v[i] >> 4;
  return out;
}
FOURSTEP_INLINE F16 LoadE4M3(const uint8_t* p) {
  return EachLane([&](int i) { return E4M3::Decode(p[i]) * 0x1p-8f; });
}
// Twice sixteen, with signs and without NaN: no branches, so that compilers vectorise it.
FOURSTEP_INLINE void LoadSignedE4M3(const uint8_t* p, F16& first, F16& second) {
  const auto decode = [&](int i) {
    const uint32_t code = p[i], magnitude = code & 0x7Fu;
    const uint32_t subnormal = FloatBits(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-17f);
    const uint32_t normal = (magnitude << 20) + (112u << 23);
    return FloatFromBits((magnitude < 8 ? subnormal : normal) | (code & 0x80u) << 24);
  };
  first = EachLane(decode);
  second = EachLane([&](int i) { return decode(16 + i); });
}
FOURSTEP_INLINE F16 LoadE8M0(const uint8_t* p) {
  return EachLane([&](int i) { return E8M0::Decode(p[i]); });
}
// codes[16], one a byte, and twice their values
FOURSTEP_INLINE void EncodeE2M1(const F16& a, uint8_t* codes, int8_t* doubled, int32_t& sum) {
  sum = 0;
  for (int i = 0; i < 16; ++i) {
    codes[i] = E2M1::Encode(a.v[i]);
    doubled[i] = static_cast<int8_t>(E2M1::DecodeDoubled(codes[i]));
    sum += doubled[i];
  }
}

}  // namespace
}  // namespace fourstep::cpu
