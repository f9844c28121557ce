// What the two x86 paths share: reductions of eight floats, and sixteen codes to what is stored of them.
#pragma once

#include <immintrin.h>

#include <cstdint>

#define FOURSTEP_INLINE [[maybe_unused]] static inline __attribute__((always_inline))

namespace fourstep::cpu {
namespace {

FOURSTEP_INLINE float ReduceAdd8(__m256 x) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
FOURSTEP_INLINE float ReduceMax8(__m256 x) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// From E4M3 to fp16 of an exponent bias that is 8 too large, where the sign of each has been shifted in
// twice: sign, sign, exponent, mantissa, seven bits that do not count. NaN stays NaN.
FOURSTEP_INLINE __m256i HalvesOfE4M3(__m256i shifted) {
  const __m256i magnitude = _mm256_set1_epi16(0x3F80),
                halves = _mm256_and_si256(shifted, _mm256_set1_epi16(-0x4080));
  const __m256i is_nan = _mm256_cmpeq_epi16(_mm256_and_si256(halves, magnitude), magnitude);
  return _mm256_or_si256(halves, is_nan);
}

FOURSTEP_INLINE void StoreCodes(__m128i bytes, uint8_t* codes, int8_t* doubled, int32_t& sum) {
  const __m128i table = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
  const __m128i values = _mm_shuffle_epi8(table, bytes);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), bytes);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(doubled), values);
  const __m128i pairs = _mm_maddubs_epi16(_mm_set1_epi8(1), values);
  __m128i total = _mm_madd_epi16(pairs, _mm_set1_epi16(1));
  total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4E));
  total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0xB1));
  sum = _mm_cvtsi128_si32(total);
}

}  // namespace
}  // namespace fourstep::cpu
