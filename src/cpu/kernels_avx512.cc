// AVX-512 with VNNI. Compiled with those flags: see kernels.h for what must not be included. The BF16 dot
// product of newer machines is not used: it flushes subnormals and rounds its pairs differently, and decoding
// is bound by memory without it.
#include "cpu/simd_avx512.h"
// float_kernels.h is written over the types of the header above.
#include "cpu/float_kernels.h"

namespace fourstep::cpu {
namespace {

// Weights as doubled codes plus 12, so that they are unsigned as vpdpbusd wants them; the correction of each
// block of x, which the integer sum starts from, takes the 12 out again.
template <int M>
FOURSTEP_INLINE void W4A4Tile(const uint8_t* codes, const uint8_t* scales, int64_t num_blocks,
                              const EncodedRows& x, int64_t row, float* y) {
  const __m512i table =
      _mm512_broadcast_i32x4(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
  const __m512i low = _mm512_set1_epi8(0xF);
  F16 sum[M];
  for (int m = 0; m < M; ++m) sum[m] = Set1(0);
  for (int64_t b = 0; b < num_blocks; ++b) {
    const __m512i c0 = _mm512_loadu_si512(codes + b * kBlockBytes);
    const __m512i c1 = _mm512_loadu_si512(codes + b * kBlockBytes + 64);
    const __m512i w0 = _mm512_shuffle_epi8(table, _mm512_and_si512(c0, low));
    const __m512i w1 = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(c0, 4), low));
    const __m512i w2 = _mm512_shuffle_epi8(table, _mm512_and_si512(c1, low));
    const __m512i w3 = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(c1, 4), low));
    const F16 scale = LoadE4M3(scales + 16 * b);
    for (int m = 0; m < M; ++m) {
      const int64_t xb = (row + m) * num_blocks + b;
      const auto four = [&](int i) __attribute__((always_inline)) {
        int32_t bytes;
        __builtin_memcpy(&bytes, x.doubled + xb * 16 + 4 * i, 4);
        return _mm512_set1_epi32(bytes);
      };
      __m512i dot = _mm512_set1_epi32(x.corrections[xb]);
      dot = _mm512_dpbusd_epi32(dot, w0, four(0));
      dot = _mm512_dpbusd_epi32(dot, w1, four(1));
      dot = _mm512_dpbusd_epi32(dot, w2, four(2));
      dot = _mm512_dpbusd_epi32(dot, w3, four(3));
      sum[m] = Fma({_mm512_cvtepi32_ps(dot)}, Mul(scale, Set1(x.scales[xb])), sum[m]);
    }
  }
  for (int m = 0; m < M; ++m) Store(y + 16 * (row + m), sum[m]);
}

void W4A4(const uint8_t* codes, const uint8_t* scales, int64_t num_blocks, const EncodedRows& x,
          int64_t num_rows, float* y) {
  ForRowTiles<8>(
      num_rows, [&](auto tile, int64_t r) __attribute__((always_inline)) {
        W4A4Tile<decltype(tile)::value>(codes, scales, num_blocks, x, r, y);
      });
}

}  // namespace

const Kernels kAvx512Kernels = {.name = "avx512-vnni",
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
