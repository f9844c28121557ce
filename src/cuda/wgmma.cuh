// Products of a warp group (sm_90a): asynchronous, 64 rows of registers times columns in shared memory.
#pragma once

#include <cstdint>

#include "cuda/shared_barrier.cuh"

namespace fourstep::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// A right operand [16 inputs, columns] in shared memory, in pieces of 8 columns times 8 inputs: 128 bytes, of
// which each column has 16. Piece (input / 8, column / 8) lies at input_step and column_step times that.
__device__ __forceinline__ uint64_t WgmmaOperand(const uint8_t* pieces, int input_step, int column_step) {
  return (static_cast<uint64_t>(SharedAddress(pieces)) >> 4 & 0x3FFFu) |
         static_cast<uint64_t>(input_step >> 4) << 16 | static_cast<uint64_t>(column_step >> 4) << 32;
}

__device__ __forceinline__ void BeginWgmma() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void EndWgmmaBatch() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until all are done.
__device__ __forceinline__ void WaitForWgmma() {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

#define FOURSTEP_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define FOURSTEP_D16(i) FOURSTEP_D4(i), FOURSTEP_D4(i + 4), FOURSTEP_D4(i + 8), FOURSTEP_D4(i + 12)

// d = a b, plus d where `adds`. a: registers of mma.m16n8k16 (kernel_util.cuh), of the 16 rows of this warp;
// d: for each 8 columns those of its result. Not to be touched until WaitForWgmma.
__device__ __forceinline__ void Wgmma(float (&d)[64], const uint32_t (&a)[4], uint64_t b, int adds) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %69, 0;"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,"
      "%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,"
      "%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}, "
      "{%64,%65,%66,%67}, %68, p, 1, 1, 0;}"
      : FOURSTEP_D16(0), FOURSTEP_D16(16), FOURSTEP_D16(32), FOURSTEP_D16(48)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(adds));
}
__device__ __forceinline__ void Wgmma(float (&d)[32], const uint32_t (&a)[4], uint64_t b, int adds) {
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %37, 0;"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,"
      "%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
      "{%32,%33,%34,%35}, %36, p, 1, 1, 0;}"
      : FOURSTEP_D16(0), FOURSTEP_D16(16)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(adds));
}

#undef FOURSTEP_D4
#undef FOURSTEP_D16

#endif

}  // namespace fourstep::cuda
