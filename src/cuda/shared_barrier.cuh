// Barriers between some threads of a block: numbered ones, and those in shared memory (mbarrier), where some
// arrive and others wait for a phase to end.
#pragma once

#include <cstdint>

#include "cuda/kernel_util.cuh"

namespace fourstep::cuda {

// Barrier `id` of the block, of which __syncthreads has 0, between num_threads of it; some may only arrive.
__device__ __forceinline__ void SyncThreads(int id, int num_threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(num_threads) : "memory");
}
__device__ __forceinline__ void ArriveOnly(int id, int num_threads) {
#ifdef FOURSTEP_RACECHECK
  SyncThreads(id, num_threads);
#else
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(num_threads) : "memory");
#endif
}

__device__ __forceinline__ uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

struct SharedBarrier {
  uint32_t at = 0;  // address in shared memory of 8 bytes
  SharedBarrier() = default;
  __device__ explicit SharedBarrier(const uint64_t* barrier) : at(SharedAddress(barrier)) {}

  // One thread; BarriersAreReady and a barrier of the block before anyone else uses it.
  __device__ void Init(uint32_t arrivals) const {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(at), "r"(arrivals) : "memory");
  }
  __device__ void Arrive() const {
    asm volatile("{.reg .b64 t; mbarrier.arrive.shared.b64 t, [%0];}" ::"r"(at) : "memory");
  }
  // Whether the phase of `parity` (0 for the first, then 1, ...) has ended.
  __device__ bool Test(uint32_t parity) const {
    uint32_t done;
    asm volatile("{.reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                 : "=r"(done)
                 : "r"(at), "r"(parity)
                 : "memory");
    return done != 0;
  }
  __device__ void Wait(uint32_t parity) const {
#if __CUDA_ARCH__ >= 900
    uint32_t done;
    do {
      asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                   : "=r"(done)
                   : "r"(at), "r"(parity)
                   : "memory");
    } while (done == 0);
#else
    while (!Test(parity)) {
    }
#endif
  }
};

// How often a warp arrives, once all its lanes have come: by one lane, after a barrier of the warp. That
// order is unknown to compute-sanitizer's racecheck (13.0), which sees hazards in it, as in what is ordered
// by bar.arrive and in bulk copies. Built with FOURSTEP_RACECHECK every lane arrives for itself, those that
// need only arrive wait too, and weights are copied by ordinary loads and stores: the same protocol in words
// that it knows.
#ifdef FOURSTEP_RACECHECK
inline constexpr uint32_t kWarpArrivals = kWarpLanes;
#else
inline constexpr uint32_t kWarpArrivals = 1;
#endif
__device__ __forceinline__ void ArriveAsWarp(const SharedBarrier& barrier) {
  __syncwarp();
  if (threadIdx.x % kWarpLanes < kWarpArrivals) barrier.Arrive();
}

// After Init, by the threads that did it: asynchronous copies see the barriers too.
__device__ __forceinline__ void BarriersAreReady() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

// What this thread has read of shared memory is read before asynchronous copies that are begun after it
// arrives at a barrier. Others are ordered by the barrier alone.
__device__ __forceinline__ void AsyncCopiesComeLater() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

}  // namespace fourstep::cuda
