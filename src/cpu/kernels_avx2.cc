// AVX2 with FMA and F16C. Compiled with those flags: see kernels.h for what must not be included.
#include "cpu/simd_avx2.h"
// float_kernels.h is written over the types of the header above.
#include "cpu/float_kernels.h"

namespace fourstep::cpu {
namespace {

// Weights as doubled codes plus 12, so that they are unsigned as the byte product wants them; the correction
// of each block of x takes the 12 out again. 8 * 2 * 24 * 12 fits 16 bits: the sums are exact.
template <int M>
FOURSTEP_INLINE void W4A4Tile(const uint8_t* codes, const uint8_t* scales, int64_t num_blocks,
                              const EncodedRows& x, int64_t row, float* y) {
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
  const __m256i low = _mm256_set1_epi8(0xF), ones = _mm256_set1_epi16(1);
  __m256 sum[M][2];
  for (int m = 0; m < M; ++m) sum[m][0] = sum[m][1] = _mm256_setzero_ps();
  for (int64_t b = 0; b < num_blocks; ++b) {
    const auto* block = reinterpret_cast<const __m256i*>(codes + b * kBlockBytes);
    const F16 scale = LoadE4M3(scales + 16 * b);
    for (int half = 0; half < 2; ++half) {  // outputs 0..7, 8..15
      const __m256i c0 = _mm256_loadu_si256(block + half), c1 = _mm256_loadu_si256(block + 2 + half);
      const __m256i w0 = _mm256_shuffle_epi8(table, _mm256_and_si256(c0, low));
      const __m256i w1 = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(c0, 4), low));
      const __m256i w2 = _mm256_shuffle_epi8(table, _mm256_and_si256(c1, low));
      const __m256i w3 = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(c1, 4), low));
      for (int m = 0; m < M; ++m) {
        const int64_t xb = (row + m) * num_blocks + b;
        const auto four = [&](int i) {
          int32_t bytes;
          __builtin_memcpy(&bytes, x.doubled + xb * 16 + 4 * i, 4);
          return _mm256_set1_epi32(bytes);
        };
        const __m256i s0 =
            _mm256_add_epi16(_mm256_maddubs_epi16(w0, four(0)), _mm256_maddubs_epi16(w1, four(1)));
        const __m256i s1 =
            _mm256_add_epi16(_mm256_maddubs_epi16(w2, four(2)), _mm256_maddubs_epi16(w3, four(3)));
        const __m256i dot = _mm256_add_epi32(_mm256_madd_epi16(_mm256_add_epi16(s0, s1), ones),
                                             _mm256_set1_epi32(x.corrections[xb]));
        const __m256 both = _mm256_mul_ps(half == 0 ? scale.a : scale.b, _mm256_set1_ps(x.scales[xb]));
        sum[m][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), both, sum[m][half]);
      }
    }
  }
  for (int m = 0; m < M; ++m) Store(y + 16 * (row + m), {sum[m][0], sum[m][1]});
}

void W4A4(const uint8_t* codes, const uint8_t* scales, int64_t num_blocks, const EncodedRows& x,
          int64_t num_rows, float* y) {
  ForRowTiles<3>(
      num_rows, [&](auto tile, int64_t r) __attribute__((always_inline)) {
        W4A4Tile<decltype(tile)::value>(codes, scales, num_blocks, x, r, y);
      });
}

}  // namespace

const Kernels kAvx2Kernels = {.name = "avx2",
                              .w4a4 = W4A4,
                              .w4a16 = W4A16,
                              .fp8 = Dense<uint8_t>,
                              .bf16 = Dense<uint16_t>,
                              .finish = Finish,
                              .gate = Gate,
                              .round = Round,
                              .encode = Encode,
                              .rms_norm = RmsNorm,
                              .attend = Attend};

}  // namespace fourstep::cpu
