// Sixteen floats in one AVX-512 register, for float_kernels.h. Included by kernels_avx512.cc only. The
// operations are explained in simd_portable.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/simd_encode.h"

namespace fourstep::cpu {
namespace {

constexpr int kRowTile = 4;
constexpr int kHeadTile = 4;

struct F16 {
  __m512 v;
};
struct I16 {
  __m512i v;
};

FOURSTEP_INLINE F16 Load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
FOURSTEP_INLINE void Store(float* p, F16 x) {
  _mm512_storeu_ps(p, x.v);
}
FOURSTEP_INLINE F16 Set1(float x) {
  return {_mm512_set1_ps(x)};
}
FOURSTEP_INLINE F16 Add(F16 x, F16 y) {
  return {_mm512_add_ps(x.v, y.v)};
}
FOURSTEP_INLINE F16 Sub(F16 x, F16 y) {
  return {_mm512_sub_ps(x.v, y.v)};
}
FOURSTEP_INLINE F16 Mul(F16 x, F16 y) {
  return {_mm512_mul_ps(x.v, y.v)};
}
FOURSTEP_INLINE F16 Div(F16 x, F16 y) {
  return {_mm512_div_ps(x.v, y.v)};
}
FOURSTEP_INLINE F16 Fma(F16 x, F16 y, F16 z) {
  return {_mm512_fmadd_ps(x.v, y.v, z.v)};
}
FOURSTEP_INLINE F16 Max(F16 x, F16 y) {
  return {_mm512_max_ps(x.v, y.v)};
}
FOURSTEP_INLINE F16 Min(F16 x, F16 y) {
  return {_mm512_min_ps(x.v, y.v)};
}
FOURSTEP_INLINE F16 Abs(F16 x) {
  return {_mm512_abs_ps(x.v)};
}
FOURSTEP_INLINE F16 WhereGreater(F16 x, F16 limit, F16 y) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_GT_OQ), y.v)};
}
FOURSTEP_INLINE F16 FillTail(F16 x, int valid, float fill) {
  const auto mask = static_cast<__mmask16>((1u << valid) - 1);
  return {_mm512_mask_blend_ps(mask, _mm512_set1_ps(fill), x.v)};
}
FOURSTEP_INLINE float ReduceAdd(F16 x) {
  return ReduceAdd8(_mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1)));
}
FOURSTEP_INLINE float ReduceMax(F16 x) {
  return ReduceMax8(_mm256_max_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1)));
}
FOURSTEP_INLINE F16 LoadBf16(const uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
FOURSTEP_INLINE I16 LoadDwords(const void* p) {
  return {_mm512_loadu_si512(p)};
}
FOURSTEP_INLINE void LoadPairs(const uint16_t* p, F16& even, F16& odd) {
  const __m512i w = _mm512_loadu_si512(p);
  even = {_mm512_castsi512_ps(_mm512_slli_epi32(w, 16))};
  odd = {_mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))))};
}
FOURSTEP_INLINE F16 RoundToBf16(F16 x) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i sum = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  const __m512i nan = _mm512_or_si512(_mm512_and_si512(bits, high), _mm512_set1_epi32(0x400000));
  return {_mm512_castsi512_ps(_mm512_mask_mov_epi32(_mm512_and_si512(sum, high), is_nan, nan))};
}
FOURSTEP_INLINE F16 ScaleByPowerOfTwo(F16 p, F16 shifted) {
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(p.v), _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23)))};
}

FOURSTEP_INLINE F16 LowNibble(I16 x) {  // the lookup reads 4 bits
  const __m512 values = _mm512_setr_ps(0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6);
  return {_mm512_permutexvar_ps(x.v, values)};
}
FOURSTEP_INLINE I16 NextNibble(I16 x) {
  return {_mm512_srli_epi32(x.v, 4)};
}
// E4M3 moved up by 7 bits is fp16, of an exponent bias that is 8 too large; subnormals come out right.
FOURSTEP_INLINE F16 LoadE4M3(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 7))};
}
// Twice sixteen, with signs, which their extension leaves at bit 15 and, to be cleared, at bit 14.
FOURSTEP_INLINE void LoadSignedE4M3(const uint8_t* p, F16& first, F16& second) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m512i extended = _mm512_slli_epi16(_mm512_cvtepi8_epi16(bytes), 7);
  const __m512i halves = _mm512_and_si512(extended, _mm512_set1_epi16(static_cast<int16_t>(0xBFFF)));
  first = {_mm512_cvtph_ps(_mm512_castsi512_si256(halves))};
  second = {_mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1))};
}
FOURSTEP_INLINE F16 LoadCachedE4M3(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtph_ps(HalvesOfE4M3(_mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7)))};
}
FOURSTEP_INLINE void LoadPairs(const uint8_t* p, F16& even, F16& odd) {
  const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  even = {_mm512_cvtph_ps(HalvesOfE4M3(_mm256_srai_epi16(_mm256_slli_epi16(pairs, 8), 1)))};
  odd = {_mm512_cvtph_ps(HalvesOfE4M3(_mm256_srai_epi16(pairs, 1)))};
}
FOURSTEP_INLINE F16 LoadE8M0(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu8_epi32(bytes), 23);
  return {_mm512_castsi512_ps(_mm512_max_epu32(bits, _mm512_set1_epi32(0x400000)))};  // code 0 is 2^-127
}

FOURSTEP_INLINE void EncodeE2M1(F16 x, uint8_t* codes, int8_t* doubled, int32_t& sum) {
  const __m512 a = _mm512_abs_ps(x.v);
  const __m512i one = _mm512_set1_epi32(1);
  __m512i code = _mm512_setzero_si512();
  const auto step = [&](__mmask16 is_above) { code = _mm512_mask_add_epi32(code, is_above, code, one); };
  step(_mm512_cmp_ps_mask(a, _mm512_set1_ps(0.25f), _CMP_NLE_UQ));
  step(_mm512_cmp_ps_mask(a, _mm512_set1_ps(0.75f), _CMP_NLT_UQ));
  step(_mm512_cmp_ps_mask(a, _mm512_set1_ps(1.25f), _CMP_NLE_UQ));
  step(_mm512_cmp_ps_mask(a, _mm512_set1_ps(1.75f), _CMP_NLT_UQ));
  step(_mm512_cmp_ps_mask(a, _mm512_set1_ps(2.5f), _CMP_NLE_UQ));
  step(_mm512_cmp_ps_mask(a, _mm512_set1_ps(3.5f), _CMP_NLT_UQ));
  step(_mm512_cmp_ps_mask(a, _mm512_set1_ps(5.0f), _CMP_NLE_UQ));
  const __mmask16 is_negative = _mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_LT_OQ);
  code = _mm512_mask_add_epi32(code, is_negative, code, _mm512_set1_epi32(8));
  StoreCodes(_mm512_cvtepi32_epi8(code), codes, doubled, sum);
}

}  // namespace
}  // namespace fourstep::cpu
