// The inner loops, once for each instruction set. A kernels_<path>.cc is compiled with flags of its own, so
// it must not instantiate inline functions of other headers: the linker could keep its copy for everybody.
// This header therefore holds plain data and function pointers only.
//
// Outputs are computed in groups of 16 with one lane an output, so that no sum crosses lanes: the order of
// every sum is that of k, whatever the number of rows, the thread or the vector width.
#pragma once

#include <cstdint>

namespace fourstep::cpu {

inline constexpr int kLanes = 16;
// Packed weights of a group of 16 outputs (packed_linear.h):
//   codes  [k/16][2][16 outputs][4 bytes]: in byte i of half j the low nibble is k = 8j + i, the high 8j + 4
//   + i scales [k/16][16 outputs] fp8    [k][16 outputs] bf16   [k/2][16 outputs][2]
inline constexpr int kBlockBytes = 128;

enum class BlockScaleFormat { kE4M3, kE8M0 };
// What the kernels multiply E4M3 values by, because it falls out of their decoding; alpha undoes it.
inline constexpr float kE4M3Bias = 0x1p-8f;

// NVFP4 rows as the integer kernels read them.
struct EncodedRows {
  const int8_t* doubled;       // [rows, k] doubled codes, -12..12
  const float* scales;         // [rows, k/16] block scales, decoded
  const int32_t* corrections;  // [rows, k/16] -12 times the sum of the block's doubled codes
};
struct EncodedOut {
  uint8_t* codes;        // [k/2] packed as NvFp4::Block has them, or null
  uint8_t* scale_codes;  // [k/16] E4M3, or null
  int8_t* doubled;
  float* scales;
  int32_t* corrections;
};

// One row's attention over one kv head. Cache of one block and kv head: tiles of 16 positions,
//   k [tiles][head_dim/2][16 positions][2],  v [tiles][16 positions][value_stride]
struct AttentionTask {
  const float* q;  // [num_heads, head_dim]: the query heads that share this kv head
  float* out;      // [num_heads, head_dim]
  int32_t num_heads, head_dim;
  int32_t value_stride;                    // head_dim rounded up to 16
  int32_t length, block_tokens;            // positions 0..length-1; block_tokens a block of the table
  bool is_fp8;                             // k and v are E4M3, else BF16
  const void *k, *v;                       // of block 0
  int64_t k_block_stride, v_block_stride;  // values from one block to the next
  const int32_t* block_table;              // [ceil(length / block_tokens)]
  float scale;                             // of scores: with that of k, where it has one
  float value_scale;                       // of v
  float* scratch;                          // [num_heads, value_stride + 3 * 16]
};

struct Kernels {
  const char* name;
  // y[r, 16] = sum_blocks b_x b_w kE4M3Bias sum_16 of the products of doubled codes. x: rows of 16 *
  // num_blocks.
  void (*w4a4)(const uint8_t* codes, const uint8_t* scales, int64_t num_blocks, const EncodedRows& x,
               int64_t num_rows, float* y);
  // y[r, 16] = sum_blocks b_w (E4M3: kE4M3Bias) sum_16 c_w x; x[r * x_stride + k] in fp32.
  void (*w4a16)(const uint8_t* codes, const uint8_t* scales, BlockScaleFormat format, int64_t num_blocks,
                const float* x, int64_t x_stride, int64_t num_rows, float* y);
  // y[r, 16] = kE4M3Bias sum_k w x; k a multiple of 4, no NaN. The order of the sums is that of bf16.
  void (*fp8)(const uint8_t* w, int64_t k, const float* x, int64_t x_stride, int64_t num_rows, float* y);
  // y[r, 16] = sum_k w x; k a multiple of 4.
  void (*bf16)(const uint16_t* w, int64_t k, const float* x, int64_t x_stride, int64_t num_rows, float* y);
  // out[r, 16] = y[r, 16] * alpha + bias (+ residual[r, 16]); rounded to BF16 where `round`.
  void (*finish)(const float* y, int64_t num_rows, const float* alpha, const float* bias,
                 const float* residual /*or null*/, int64_t residual_stride, bool round, float* out,
                 int64_t out_stride);
  // out[16] = silu(gate * gate_alpha + gate_bias) * (up * up_alpha + up_bias), rounded to BF16
  void (*gate)(const float* gate, const float* gate_alpha, const float* gate_bias, const float* up,
               const float* up_alpha, const float* up_bias, float* out);
  // In place: BF16(x), or BF16(BF16(x) * factors) where factors are given. n a multiple of 16.
  void (*round)(float* x, const float* factors /*or null*/, int64_t n);
  // x[16 * num_blocks] to NVFP4, as NvFp4::EncodeActivation.
  void (*encode)(const float* x, int64_t num_blocks, float inverse_scale, const EncodedOut& out);
  // out = x / sqrt(sum x^2 / n + epsilon) * weight, not rounded. All padded with zeros to a multiple of 16.
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float epsilon, float* out);
  // out = softmax(q k scale) v value_scale per head, not rounded.
  void (*attend)(const AttentionTask& task);
};

// Null where this build or this machine does not have the path. `name` may be "avx512-vnni", "avx2",
// "portable", or "" for the best there is.
const Kernels* FindKernels(const char* name);

extern const Kernels kPortableKernels;
#if defined(FOURSTEP_X86)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

// The block scale of `amax` as NvFp4::EncodeActivation defines it; returns the factor that the values are
// multiplied by before they become E2M1 (0 where the scale is 0).
float EncodeBlockScale(float amax, float inverse_scale, uint8_t& code, float& decoded);

}  // namespace fourstep::cpu
