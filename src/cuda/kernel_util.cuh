// Small pieces that kernels of several families use.
#pragma once

#include <cstdint>

#include "formats/bfloat16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"

namespace fourstep::cuda {

inline constexpr int kWarpLanes = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// Of this thread, in a block of one dimension.
__device__ __forceinline__ int WarpIndex() {
  return static_cast<int>(threadIdx.x) / kWarpLanes;
}
__device__ __forceinline__ int LaneIndex() {
  return static_cast<int>(threadIdx.x) % kWarpLanes;
}

// Programmatic dependent launch (sm_90 on; nothing elsewhere, where kernels never overlap). The next kernel
// of the stream may begin, up to its own WaitForPrevious, as soon as every block of this one has called it.
__device__ __forceinline__ void LetNextBegin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
// Until all kernels before this one have ended and what they wrote can be seen.
__device__ __forceinline__ void WaitForPrevious() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ float Bf16Low(uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ __forceinline__ float Bf16High(uint32_t pair) {
  return __uint_as_float(pair & 0xFFFF0000u);
}
__device__ __forceinline__ uint32_t PackBf16(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// c += a b: a [16, 16], b [16, 8] BF16, c [16, 8] fp32, in the fragments of mma.m16n8k16. With lane = 4 g +
// t: a = rows g, g + 8, g, g + 8 at columns 2t (first two registers) and 2t + 8; b = rows 2t and 2t + 8 of
// column g; c = row g at columns 2t, 2t + 1, then row g + 8.
__device__ __forceinline__ void Mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A product of two pairs of BF16, each rounded once; -0 keeps the sign of a zero product.
__device__ __forceinline__ uint32_t MultiplyPair(uint32_t a, uint32_t b) {
  uint32_t product;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000u));
  return product;
}

// E4M3::Encode, by the instruction for it where there is one; any NaN gives 0x7F there.
__device__ __forceinline__ uint8_t EncodeE4M3(float x) {
#if __CUDA_ARCH__ >= 890
  uint16_t pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(x));
  return static_cast<uint8_t>(pair);
#else
  return E4M3::Encode(x);
#endif
}

// The sum over a warp, the same in every lane, always in the same order.
__device__ __forceinline__ float WarpSum(float x) {
  for (int distance = kWarpLanes / 2; distance > 0; distance /= 2)
    x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}

}  // namespace fourstep::cuda
