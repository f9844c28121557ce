// Plain C++, for any machine; compilers vectorise what they can.
#include "cpu/simd_portable.h"
// float_kernels.h is written over the types of the header above.
#include "cpu/float_kernels.h"

namespace fourstep::cpu {
namespace {

void W4A4(const uint8_t* codes, const uint8_t* scales, int64_t num_blocks, const EncodedRows& x,
          int64_t num_rows, float* y) {
  constexpr int8_t kDoubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  for (int64_t r = 0; r < num_rows; ++r) {
    F16 sum = Set1(0);
    for (int64_t b = 0; b < num_blocks; ++b) {
      const int8_t* xb = x.doubled + (r * num_blocks + b) * 16;
      const uint8_t* block = codes + b * kBlockBytes;
      F16 products;
      for (int lane = 0; lane < 16; ++lane) {
        int32_t dot = 0;
        for (int i = 0; i < 8; ++i) {
          const uint8_t pair = block[64 * (i / 4) + 4 * lane + i % 4];
          const int8_t* xk = xb + 8 * (i / 4) + i % 4;
          dot += kDoubled[pair & 0xF] * xk[0] + kDoubled[pair >> 4] * xk[4];
        }
        products.v[lane] = static_cast<float>(dot);
      }
      sum = Fma(products, Mul(LoadE4M3(scales + 16 * b), Set1(x.scales[r * num_blocks + b])), sum);
    }
    Store(y + 16 * r, sum);
  }
}

}  // namespace

const Kernels kPortableKernels = {.name = "portable",
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
