// Sixteen floats in two AVX2 registers, for float_kernels.h. Included by kernels_avx2.cc only. The operations
// are explained in simd_portable.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/simd_encode.h"

namespace fourstep::cpu {
namespace {

constexpr int kRowTile = 1;
constexpr int kHeadTile = 2;

struct F16 {
  __m256 a, b;
};
struct I16 {
  __m256i a, b;
};

FOURSTEP_INLINE F16 Load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
FOURSTEP_INLINE void Store(float* p, F16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
FOURSTEP_INLINE F16 Set1(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
FOURSTEP_INLINE F16 Add(F16 x, F16 y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
FOURSTEP_INLINE F16 Sub(F16 x, F16 y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
FOURSTEP_INLINE F16 Mul(F16 x, F16 y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
FOURSTEP_INLINE F16 Div(F16 x, F16 y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
FOURSTEP_INLINE F16 Fma(F16 x, F16 y, F16 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
FOURSTEP_INLINE F16 Max(F16 x, F16 y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
FOURSTEP_INLINE F16 Min(F16 x, F16 y) {
  return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
FOURSTEP_INLINE F16 Abs(F16 x) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  return {_mm256_and_ps(x.a, mask), _mm256_and_ps(x.b, mask)};
}
FOURSTEP_INLINE F16 WhereGreater(F16 x, F16 limit, F16 y) {
  return {_mm256_and_ps(_mm256_cmp_ps(x.a, limit.a, _CMP_GT_OQ), y.a),
          _mm256_and_ps(_mm256_cmp_ps(x.b, limit.b, _CMP_GT_OQ), y.b)};
}
FOURSTEP_INLINE F16 FillTail(F16 x, int valid, float fill) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i is_a = _mm256_cmpgt_epi32(_mm256_set1_epi32(valid), lanes);
  const __m256i is_b = _mm256_cmpgt_epi32(_mm256_set1_epi32(valid - 8), lanes);
  const __m256 f = _mm256_set1_ps(fill);
  return {_mm256_blendv_ps(f, x.a, _mm256_castsi256_ps(is_a)),
          _mm256_blendv_ps(f, x.b, _mm256_castsi256_ps(is_b))};
}
FOURSTEP_INLINE float ReduceAdd(F16 x) {
  return ReduceAdd8(_mm256_add_ps(x.a, x.b));
}
FOURSTEP_INLINE float ReduceMax(F16 x) {
  return ReduceMax8(_mm256_max_ps(x.a, x.b));
}

FOURSTEP_INLINE __m256 Bf16ToFloat(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
FOURSTEP_INLINE F16 LoadBf16(const uint16_t* p) {
  return {Bf16ToFloat(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          Bf16ToFloat(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
FOURSTEP_INLINE I16 LoadDwords(const void* p) {
  const auto* from = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)};
}
FOURSTEP_INLINE void LoadPairs(const uint16_t* p, F16& even, F16& odd) {
  const I16 w = LoadDwords(p);
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xFFFF0000u));
  even = {_mm256_castsi256_ps(_mm256_slli_epi32(w.a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(w.b, 16))};
  odd = {_mm256_castsi256_ps(_mm256_and_si256(w.a, high)), _mm256_castsi256_ps(_mm256_and_si256(w.b, high))};
}
FOURSTEP_INLINE __m256 RoundToBf16Half(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const __m256i cut = _mm256_and_si256(sum, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u)));
  const __m256 nan = _mm256_castsi256_ps(_mm256_or_si256(
      _mm256_and_si256(bits, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u))), _mm256_set1_epi32(0x400000)));
  return _mm256_blendv_ps(_mm256_castsi256_ps(cut), nan, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
FOURSTEP_INLINE F16 RoundToBf16(F16 x) {
  return {RoundToBf16Half(x.a), RoundToBf16Half(x.b)};
}
FOURSTEP_INLINE __m256 ScaleByPowerOfTwoHalf(__m256 p, __m256 shifted) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
}
FOURSTEP_INLINE F16 ScaleByPowerOfTwo(F16 p, F16 shifted) {
  return {ScaleByPowerOfTwoHalf(p.a, shifted.a), ScaleByPowerOfTwoHalf(p.b, shifted.b)};
}

FOURSTEP_INLINE __m256 LowNibbleHalf(__m256i x) {
  const __m256 magnitudes = _mm256_setr_ps(0, 0.5f, 1, 1.5f, 2, 3, 4, 6);  // the lookup reads 3 bits
  const __m256i sign = _mm256_and_si256(_mm256_slli_epi32(x, 28), _mm256_set1_epi32(INT32_MIN));
  return _mm256_xor_ps(_mm256_permutevar8x32_ps(magnitudes, x), _mm256_castsi256_ps(sign));
}
FOURSTEP_INLINE F16 LowNibble(I16 x) {
  return {LowNibbleHalf(x.a), LowNibbleHalf(x.b)};
}
FOURSTEP_INLINE I16 NextNibble(I16 x) {
  return {_mm256_srli_epi32(x.a, 4), _mm256_srli_epi32(x.b, 4)};
}
// E4M3 moved up by 7 bits is fp16, of an exponent bias that is 8 too large; subnormals come out right.
FOURSTEP_INLINE F16 LoadE4M3(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i halves = _mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 7);
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
          _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}
// With a sign, which its extension leaves at bit 15 and, to be cleared, at bit 14.
FOURSTEP_INLINE F16 LoadSignedE4M3(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i extended = _mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7);
  const __m256i halves = _mm256_and_si256(extended, _mm256_set1_epi16(static_cast<int16_t>(0xBFFF)));
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
          _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}
FOURSTEP_INLINE void LoadSignedE4M3(const uint8_t* p, F16& first, F16& second) {
  first = LoadSignedE4M3(p);
  second = LoadSignedE4M3(p + 16);
}
FOURSTEP_INLINE F16 HalvesToFloats(__m256i halves) {
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
          _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}
FOURSTEP_INLINE F16 LoadCachedE4M3(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return HalvesToFloats(HalvesOfE4M3(_mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7)));
}
FOURSTEP_INLINE void LoadPairs(const uint8_t* p, F16& even, F16& odd) {
  const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  even = HalvesToFloats(HalvesOfE4M3(_mm256_srai_epi16(_mm256_slli_epi16(pairs, 8), 1)));
  odd = HalvesToFloats(HalvesOfE4M3(_mm256_srai_epi16(pairs, 1)));
}
FOURSTEP_INLINE F16 LoadE8M0(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i least = _mm256_set1_epi32(0x400000);  // code 0 is 2^-127, a subnormal
  const __m256i a = _mm256_slli_epi32(_mm256_cvtepu8_epi32(bytes), 23);
  const __m256i b = _mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)), 23);
  return {_mm256_castsi256_ps(_mm256_max_epu32(a, least)), _mm256_castsi256_ps(_mm256_max_epu32(b, least))};
}

FOURSTEP_INLINE __m256i EncodeE2M1Half(__m256 x) {
  const __m256 a = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
  __m256i code = _mm256_setzero_si256();
  const auto step = [&](__m256 is_above) { code = _mm256_sub_epi32(code, _mm256_castps_si256(is_above)); };
  step(_mm256_cmp_ps(a, _mm256_set1_ps(0.25f), _CMP_NLE_UQ));
  step(_mm256_cmp_ps(a, _mm256_set1_ps(0.75f), _CMP_NLT_UQ));
  step(_mm256_cmp_ps(a, _mm256_set1_ps(1.25f), _CMP_NLE_UQ));
  step(_mm256_cmp_ps(a, _mm256_set1_ps(1.75f), _CMP_NLT_UQ));
  step(_mm256_cmp_ps(a, _mm256_set1_ps(2.5f), _CMP_NLE_UQ));
  step(_mm256_cmp_ps(a, _mm256_set1_ps(3.5f), _CMP_NLT_UQ));
  step(_mm256_cmp_ps(a, _mm256_set1_ps(5.0f), _CMP_NLE_UQ));
  const __m256i is_negative = _mm256_castps_si256(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
  return _mm256_or_si256(code, _mm256_and_si256(is_negative, _mm256_set1_epi32(8)));
}
FOURSTEP_INLINE void EncodeE2M1(F16 x, uint8_t* codes, int8_t* doubled, int32_t& sum) {
  const __m256i a = EncodeE2M1Half(x.a), b = EncodeE2M1Half(x.b);
  const __m128i low = _mm_packus_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i high = _mm_packus_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
  StoreCodes(_mm_packus_epi16(low, high), codes, doubled, sum);
}

}  // namespace
}  // namespace fourstep::cpu
