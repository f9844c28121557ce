// One warp's ring of weight units in shared memory, filled by asynchronous copies that run ahead of the
// arithmetic. No barrier of the block is involved: every warp waits for its own stages only. A stage holds a
// few units that lie together, so that a copy, a wait and the walk over the units are paid once for all of
// them.
#pragma once

#include <cstdint>

#include "cuda/kernel_util.cuh"

namespace fourstep::cuda {

__device__ __forceinline__ uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

template <int kStageBytes>
class UnitRing {
 public:
  // `stages` <= 32 stages at `buffer`, as many barriers at `barriers`, both this warp's own. All lanes call.
  __device__ UnitRing(uint8_t* buffer, uint64_t* barriers, int stages, int lane)
      : buffer_(buffer), barriers_(SharedAddress(barriers)), stages_(stages), lane_(lane) {
    if (lane < stages) {
      asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barriers_ + 8u * static_cast<uint32_t>(lane)),
                   "r"(kArrivals)
                   : "memory");
#if __CUDA_ARCH__ >= 900
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
    }
    __syncwarp();
  }

  // Begins to copy `bytes` (a multiple of 16, at most kStageBytes) into the stage that is free for longest.
  // All lanes call. The stage must not be one that lanes still read: fill at most stages - 1 ahead of the one
  // being read.
  __device__ void Fill(const uint8_t* units, int bytes) {
    const uint32_t to = SharedAddress(buffer_) + static_cast<uint32_t>(fill_ * kStageBytes);
    const uint32_t barrier = barriers_ + 8u * static_cast<uint32_t>(fill_);
#if __CUDA_ARCH__ >= 900
    if (lane_ == 0) {
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
      asm volatile(
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
          "l"(units), "r"(bytes), "r"(barrier)
          : "memory");
    }
#else
    for (int offset = 16 * lane_; offset < bytes; offset += 16 * kWarpLanes)
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + static_cast<uint32_t>(offset)),
                   "l"(units + offset)
                   : "memory");
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
#endif
    fill_ = fill_ + 1 == stages_ ? 0 : fill_ + 1;
  }

  // The next stage, once it is there.
  __device__ const uint8_t* Wait() {
    const uint32_t barrier = barriers_ + 8u * static_cast<uint32_t>(read_);
    uint32_t done;
    do {
#if __CUDA_ARCH__ >= 900
      asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                   : "=r"(done)
                   : "r"(barrier), "r"(parity_)
                   : "memory");
#else
      asm volatile("{.reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                   : "=r"(done)
                   : "r"(barrier), "r"(parity_)
                   : "memory");
#endif
    } while (done == 0);
    const uint8_t* units = buffer_ + read_ * kStageBytes;
    if (++read_ == stages_) {
      read_ = 0;
      parity_ ^= 1;
    }
    return units;
  }

 private:
#if __CUDA_ARCH__ >= 900
  static constexpr uint32_t kArrivals = 1;
#else
  static constexpr uint32_t kArrivals = kWarpLanes;
#endif
  uint8_t* buffer_;
  uint32_t barriers_;
  int stages_, lane_;
  int fill_ = 0, read_ = 0;
  uint32_t parity_ = 0;
};

}  // namespace fourstep::cuda
