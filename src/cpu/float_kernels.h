// The kernels that are the same for every path, over the sixteen floats of the simd_<path>.h that was
// included before. Everything has internal linkage: each path compiles its own.
#pragma once

#include <cstdint>

#include "cpu/kernels.h"

namespace fourstep::cpu {
namespace {

// e^x within 1.5 ulp for -87 <= x <= 88; 0 below, e^88 above. As sampling/exp_float.h, in vectors.
FOURSTEP_INLINE F16 Exp(F16 x) {
  const F16 lowest = Set1(-87.0f), rounder = Set1(0x1.8p23f);
  const F16 bounded = Min(Max(x, lowest), Set1(88.0f));
  const F16 shifted = Fma(bounded, Set1(0x1.715476p+0f), rounder);
  const F16 n = Sub(shifted, rounder);
  const F16 r = Sub(Sub(bounded, Mul(n, Set1(0x1.62e4p-1f))), Mul(n, Set1(0x1.7f7d1cp-20f)));
  F16 p = Set1(1.0f / 5040);
  p = Fma(p, r, Set1(1.0f / 720));
  p = Fma(p, r, Set1(1.0f / 120));
  p = Fma(p, r, Set1(1.0f / 24));
  p = Fma(p, r, Set1(1.0f / 6));
  p = Fma(p, r, Set1(0.5f));
  p = Add(Add(Mul(Mul(p, r), r), r), Set1(1.0f));
  return WhereGreater(x, lowest, ScaleByPowerOfTwo(p, shifted));
}

// Calls tile(constant<M>, first row) so that all rows are covered by tiles of kTile rows, then single ones.
template <int M>
struct TileRows {
  static constexpr int value = M;
};
template <int kTile, typename F>
FOURSTEP_INLINE void ForRowTiles(int64_t num_rows, const F& tile) {
  int64_t r = 0;
  for (; r + kTile <= num_rows; r += kTile) tile(TileRows<kTile>{}, r);
  if constexpr (kTile > 4) {
    for (; r + 4 <= num_rows; r += 4) tile(TileRows<4>{}, r);
  }
  if constexpr (kTile > 2) {
    for (; r + 2 <= num_rows; r += 2) tile(TileRows<2>{}, r);
  }
  for (; r < num_rows; ++r) tile(TileRows<1>{}, r);
}

template <int M, BlockScaleFormat kFormat>
FOURSTEP_INLINE void W4A16Tile(const uint8_t* codes, const uint8_t* scales, int64_t num_blocks,
                               const float* x, int64_t x_stride, float* y) {
  F16 sum[M];
  for (int m = 0; m < M; ++m) sum[m] = Set1(0);
  for (int64_t b = 0; b < num_blocks; ++b) {
    // Two chains a block, one for each of its halves.
    F16 part[2][M];
    for (int j = 0; j < 2; ++j) {
      I16 nibbles = LoadDwords(codes + b * kBlockBytes + 64 * j);
      const float* xb = x + b * 16 + 8 * j;
#pragma GCC unroll 8
      for (int t = 0; t < 8; ++t) {
        const F16 w = LowNibble(nibbles);
        nibbles = NextNibble(nibbles);
        const int k = t / 2 + 4 * (t % 2);
        for (int m = 0; m < M; ++m) {
          const F16 xk = Set1(xb[m * x_stride + k]);
          part[j][m] = t == 0 ? Mul(w, xk) : Fma(w, xk, part[j][m]);
        }
      }
    }
    const F16 scale =
        kFormat == BlockScaleFormat::kE4M3 ? LoadE4M3(scales + 16 * b) : LoadE8M0(scales + 16 * b);
    for (int m = 0; m < M; ++m) sum[m] = Fma(Add(part[0][m], part[1][m]), scale, sum[m]);
  }
  for (int m = 0; m < M; ++m) Store(y + 16 * m, sum[m]);
}

void W4A16(const uint8_t* codes, const uint8_t* scales, BlockScaleFormat format, int64_t num_blocks,
           const float* x, int64_t x_stride, int64_t num_rows, float* y) {
  ForRowTiles<kRowTile>(
      num_rows, [&](auto tile, int64_t r) __attribute__((always_inline)) {
        constexpr int M = decltype(tile)::value;
        if (format == BlockScaleFormat::kE4M3) {
          W4A16Tile<M, BlockScaleFormat::kE4M3>(codes, scales, num_blocks, x + r * x_stride, x_stride,
                                                y + 16 * r);
        } else {
          W4A16Tile<M, BlockScaleFormat::kE8M0>(codes, scales, num_blocks, x + r * x_stride, x_stride,
                                                y + 16 * r);
        }
      });
}

// Weights of inputs i and i + 1 for 16 outputs: BF16, or E4M3 times kE4M3Bias.
FOURSTEP_INLINE void LoadWeights(const uint16_t* w, F16& first, F16& second) {
  LoadPairs(w, first, second);
}
FOURSTEP_INLINE void LoadWeights(const uint8_t* w, F16& first, F16& second) {
  LoadSignedE4M3(w, first, second);
}

template <typename Weight>
void Dense(const Weight* w, int64_t k, const float* x, int64_t x_stride, int64_t num_rows, float* y) {
  ForRowTiles<kRowTile>(
      num_rows, [&](auto tile, int64_t r) __attribute__((always_inline)) {
        constexpr int M = decltype(tile)::value;
        const float* xr = x + r * x_stride;
        F16 sum[4][M];  // one chain for each k mod 4
        for (auto& chain : sum)
          for (F16& s : chain) s = Set1(0);
        for (int64_t i = 0; i < k; i += 4) {
#pragma GCC unroll 2
          for (int j = 0; j < 4; j += 2) {
            F16 first, second;
            LoadWeights(w + 16 * (i + j), first, second);
            for (int m = 0; m < M; ++m) {
              const float* xk = xr + m * x_stride + i + j;
              sum[j][m] = Fma(first, Set1(xk[0]), sum[j][m]);
              sum[j + 1][m] = Fma(second, Set1(xk[1]), sum[j + 1][m]);
            }
          }
        }
        for (int m = 0; m < M; ++m)
          Store(y + 16 * (r + m), Add(Add(sum[0][m], sum[1][m]), Add(sum[2][m], sum[3][m])));
      });
}

void Finish(const float* y, int64_t num_rows, const float* alpha, const float* bias, const float* residual,
            int64_t residual_stride, bool round, float* out, int64_t out_stride) {
  const F16 a = Load(alpha), b = Load(bias);
  for (int64_t r = 0; r < num_rows; ++r) {
    F16 v = Add(Mul(Load(y + 16 * r), a), b);
    if (residual != nullptr) v = Add(Load(residual + r * residual_stride), v);
    Store(out + r * out_stride, round ? RoundToBf16(v) : v);
  }
}

void Gate(const float* gate, const float* gate_alpha, const float* gate_bias, const float* up,
          const float* up_alpha, const float* up_bias, float* out) {
  const F16 g = Add(Mul(Load(gate), Load(gate_alpha)), Load(gate_bias));
  const F16 u = Add(Mul(Load(up), Load(up_alpha)), Load(up_bias));
  const F16 silu = Div(g, Add(Set1(1), Exp(Sub(Set1(0), g))));
  Store(out, RoundToBf16(Mul(silu, u)));
}

void Round(float* x, const float* factors, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    F16 v = RoundToBf16(Load(x + i));
    if (factors != nullptr) v = RoundToBf16(Mul(v, Load(factors + i)));
    Store(x + i, v);
  }
}

void Encode(const float* x, int64_t num_blocks, float inverse_scale, const EncodedOut& out) {
  for (int64_t b = 0; b < num_blocks; ++b) {
    const F16 v = Load(x + 16 * b);
    uint8_t scale_code, codes[16];
    const float factor = EncodeBlockScale(ReduceMax(Abs(v)), inverse_scale, scale_code, out.scales[b]);
    int32_t sum;
    EncodeE2M1(Mul(v, Set1(factor)), codes, out.doubled + 16 * b, sum);
    out.corrections[b] = -12 * sum;
    if (out.scale_codes != nullptr) out.scale_codes[b] = scale_code;
    if (out.codes == nullptr) continue;
    for (int i = 0; i < 8; ++i)
      out.codes[8 * b + i] = static_cast<uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4);
  }
}

void RmsNorm(const float* x, const float* weight, int64_t n, float epsilon, float* out) {
  F16 sum = Set1(0);
  for (int64_t i = 0; i < n; i += 16) sum = Fma(Load(x + i), Load(x + i), sum);
  const float mean = ReduceAdd(sum) / static_cast<float>(n);
  const F16 inverse_rms = Set1(1.0f / __builtin_sqrtf(mean + epsilon));
  for (int64_t i = 0; i < n; i += 16) Store(out + i, Mul(Mul(Load(x + i), inverse_rms), Load(weight + i)));
}

// Numbers of a cache: BF16, or E4M3 times kE4M3Bias.
FOURSTEP_INLINE F16 LoadCached(const uint16_t* p) {
  return LoadBf16(p);
}
FOURSTEP_INLINE F16 LoadCached(const uint8_t* p) {
  return LoadCachedE4M3(p);
}

// scores[h, 16] = q k scale for one tile of 16 positions, kept below `valid`.
template <typename Value>
FOURSTEP_INLINE void ScoreTile(const AttentionTask& t, const Value* k, float scale, int valid,
                               float* scores) {
  ForRowTiles<kHeadTile>(
      t.num_heads, [&](auto tile, int64_t h) __attribute__((always_inline)) {
        constexpr int M = decltype(tile)::value;
        const float* q = t.q + h * t.head_dim;
        F16 even_sum[M], odd_sum[M];
        for (int m = 0; m < M; ++m) even_sum[m] = odd_sum[m] = Set1(0);
        for (int64_t i = 0; i < t.head_dim; i += 2) {
          F16 even, odd;
          LoadPairs(k + 16 * i, even, odd);
          for (int m = 0; m < M; ++m) {
            even_sum[m] = Fma(even, Set1(q[m * t.head_dim + i]), even_sum[m]);
            odd_sum[m] = Fma(odd, Set1(q[m * t.head_dim + i + 1]), odd_sum[m]);
          }
        }
        for (int m = 0; m < M; ++m) {
          const F16 s = Mul(Add(even_sum[m], odd_sum[m]), Set1(scale));
          Store(scores + 16 * (h + m), FillTail(s, valid, -__builtin_inff()));
        }
      });
}

// sums[h, value_stride] += weights[h, 16] v
template <typename Value>
FOURSTEP_INLINE void AddValues(const AttentionTask& t, const Value* v, int valid, const float* weights,
                               float* sums) {
  for (int64_t d = 0; d < t.value_stride; d += 16) {
    ForRowTiles<kHeadTile>(
        t.num_heads, [&](auto tile, int64_t h) __attribute__((always_inline)) {
          constexpr int M = decltype(tile)::value;
          F16 sum[M];
          for (int m = 0; m < M; ++m) sum[m] = Load(sums + (h + m) * t.value_stride + d);
          for (int p = 0; p < valid; ++p) {
            const F16 value = LoadCached(v + p * t.value_stride + d);
            for (int m = 0; m < M; ++m) sum[m] = Fma(Set1(weights[16 * (h + m) + p]), value, sum[m]);
          }
          for (int m = 0; m < M; ++m) Store(sums + (h + m) * t.value_stride + d, sum[m]);
        });
  }
}

// Softmax with a running maximum over tiles of 16 positions. Tiles begin at multiples of 16 within a cache
// block, so that the order of the sums depends on the positions only.
template <typename Value>
FOURSTEP_INLINE void AttendTo(const AttentionTask& t) {
  constexpr float kUnbias = sizeof(Value) == 1 ? 1 / kE4M3Bias : 1;
  const float scale = t.scale * kUnbias, value_scale = t.value_scale * kUnbias;
  const int64_t heads = t.num_heads, stride = t.value_stride;
  float* sums = t.scratch;
  float *weights = sums + heads * stride, *totals = weights + heads * 16, *maxima = totals + heads * 16;
  for (int64_t i = 0; i < heads * stride; ++i) sums[i] = 0;
  for (int64_t h = 0; h < heads; ++h) {
    Store(totals + 16 * h, Set1(0));
    maxima[16 * h] = -__builtin_inff();
  }
  for (int32_t first = 0; first < t.length; first += t.block_tokens) {
    const int64_t block = t.block_table[first / t.block_tokens];
    const Value* k = static_cast<const Value*>(t.k) + block * t.k_block_stride;
    const Value* v = static_cast<const Value*>(t.v) + block * t.v_block_stride;
    const int32_t in_block = t.length - first < t.block_tokens ? t.length - first : t.block_tokens;
    for (int32_t p = 0; p < in_block; p += 16) {
      const int valid = in_block - p < 16 ? in_block - p : 16;
      ScoreTile(t, k + static_cast<int64_t>(p) * t.head_dim, scale, valid, weights);
      for (int64_t h = 0; h < heads; ++h) {
        const F16 scores = Load(weights + 16 * h);
        const float old_max = maxima[16 * h], tile_max = ReduceMax(scores);
        F16 total = Load(totals + 16 * h);
        if (tile_max > old_max) {
          const F16 shrink = Exp(Set1(old_max - tile_max));
          maxima[16 * h] = tile_max;
          total = Mul(total, shrink);
          for (int64_t d = 0; d < stride; d += 16)
            Store(sums + h * stride + d, Mul(Load(sums + h * stride + d), shrink));
        }
        const F16 w = Exp(Sub(scores, Set1(maxima[16 * h])));
        Store(weights + 16 * h, w);
        Store(totals + 16 * h, Add(total, w));
      }
      AddValues(t, v + static_cast<int64_t>(p) * stride, valid, weights, sums);
    }
  }
  for (int64_t h = 0; h < heads; ++h) {
    const float factor = value_scale / ReduceAdd(Load(totals + 16 * h));
    for (int64_t d = 0; d < t.head_dim; ++d) t.out[h * t.head_dim + d] = sums[h * stride + d] * factor;
  }
}

void Attend(const AttentionTask& t) {
  if (t.is_fp8) {
    AttendTo<uint8_t>(t);
  } else {
    AttendTo<uint16_t>(t);
  }
}

}  // namespace
}  // namespace fourstep::cpu
