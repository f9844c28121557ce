// The form in which a row is stored for the linear that reads it (backend.h: AddActivation).
//
// Under W4A4 a row is quantised once, by the operation that makes it, and stored as e2m1(code) * e4m3(block
// scale) in BF16: exact, because the product has six significant bits. The consumer's kernel is then the same
// for W4A4 and W4A16, and the input scale is a factor of its outputs.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/kernel_util.cuh"
#include "cuda/row_form.h"
#include "formats/nvfp4.h"

namespace fourstep::cuda {

// x, rounded to BF16 and, where the consumer has them, times its factors and rounded again. `i`: its column.
__device__ __forceinline__ float RoundForConsumer(float x, int i, const RowForm& form) {
  x = RoundToBFloat16(x);
  return form.pre_quant_scale != nullptr ? RoundToBFloat16(x * form.pre_quant_scale[i]) : x;
}

// The value of E2M1 nearest to x, the even one of two: by the FP4 units where the device has them (not run on
// such a device yet), else as the host does.
__device__ __forceinline__ float RoundToE2M1(float x) {
#if defined(__CUDA_ARCH_FEAT_SM100_ALL) || defined(__CUDA_ARCH_FEAT_SM120_ALL)
  uint32_t halves;  // of x and 0 in FP16, which holds every value of E2M1
  asm("{.reg .b8 codes; cvt.rn.satfinite.e2m1x2.f32 codes, %2, %1; cvt.rn.f16x2.e2m1x2 %0, codes;}"
      : "=r"(halves)
      : "f"(x), "f"(0.0f));
  return __half2float(__ushort_as_half(static_cast<unsigned short>(halves)));
#else
  return E2M1::Round(x);
#endif
}

// NVFP4 of some values of a block whose largest magnitude is `amax`, decoded without the input scale, in
// place. In pieces of NvFp4::EncodeActivation, so that the lanes of a warp can share a block.
template <int kCount>
__device__ __forceinline__ void QuantizePartOfBlock(float (&values)[kCount], float amax,
                                                    float inverse_scale) {
  const uint8_t scale_code = EncodeE4M3(amax / E2M1::kMax * inverse_scale);
  const float scale = E4M3::Decode(scale_code), factor = inverse_scale / scale;
#pragma unroll
  for (float& x : values) x = scale_code == 0 ? 0.0f : RoundToE2M1(x * factor) * scale;
}

// Two values a lane, of columns i and i + 1; 8 lanes in a row, the first at a multiple of 16, hold a block.
// All lanes must come.
__device__ __forceinline__ void FormOfPair(float (&x)[2], int i, const RowForm& form) {
  x[0] = RoundForConsumer(x[0], i, form);
  x[1] = RoundForConsumer(x[1], i + 1, form);
  if (!form.is_nvfp4) return;
  float amax = fmaxf(fabsf(x[0]), fabsf(x[1]));
  for (int distance = 4; distance > 0; distance /= 2)
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, distance));
  QuantizePartOfBlock(x, amax, form.inverse_scale);
}

}  // namespace fourstep::cuda
