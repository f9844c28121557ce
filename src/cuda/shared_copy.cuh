// Asynchronous copies from global to shared memory (cp.async), of the thread that begins them.
#pragma once

#include "cuda/shared_barrier.cuh"

namespace fourstep::cuda {

// 4 or 16 bytes, of which the first num_bytes are copied and the others become zero.
template <int kBytes>
__device__ __forceinline__ void CopyToShared(void* to, const void* from, int num_bytes) {
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(to)), "l"(from),
                 "r"(num_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(SharedAddress(to)), "l"(from),
                 "n"(kBytes), "r"(num_bytes)
                 : "memory");
  }
}
// Copies begun since the last call are a batch.
__device__ __forceinline__ void EndCopyBatch() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until all but the last kBatches batches have arrived.
template <int kBatches>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kBatches) : "memory");
}

}  // namespace fourstep::cuda
