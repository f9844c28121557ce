// Rings of weight units in shared memory, one a warp. A warp of its own fills all of them by asynchronous
// copies that run ahead of the arithmetic; a warp that multiplies waits for its own stages only and gives
// them back. A stage holds a few units that lie together.
#pragma once

#include <cstdint>

#include "cuda/linear_plan.cuh"
#include "cuda/shared_barrier.cuh"
#include "cuda/weight_stream.h"

namespace fourstep::cuda {

// Of all rings: stages [kWarps][stages][kStageBytes], then barriers [kWarps][stages] of stages that are full
// and of such that are free again.
template <int kStageBytes>
struct RingMemory {
  uint8_t* units;
  uint64_t *full, *free;
  int stages;

  static constexpr int Bytes(int stages) {
    return kWarps * stages * (kStageBytes + 2 * static_cast<int>(sizeof(uint64_t)));
  }

  __device__ RingMemory(uint8_t* memory, int num_stages) : units(memory), stages(num_stages) {
    full = reinterpret_cast<uint64_t*>(memory + kWarps * stages * kStageBytes);
    free = full + kWarps * stages;
  }
  // A lane of each worker calls for its own ring; the block meets before the rings are used. One thread for
  // all rings took a microsecond of every kernel: the barriers of a warp's lanes are set up one after the
  // other.
  __device__ void Init(int warp) const {
#if __CUDA_ARCH__ >= 900
    constexpr uint32_t kCopies = 1;
#else
    constexpr uint32_t kCopies = kWarpLanes;
#endif
    for (int i = warp * stages; i < (warp + 1) * stages; ++i) {
      SharedBarrier(full + i).Init(kCopies);
      SharedBarrier(free + i).Init(kWarpArrivals);
    }
    BarriersAreReady();
  }
};

// A warp's ring as it reads it. What says where it stands is moved on, not computed anew: in a kernel that is
// bound by instructions, every stage counts.
template <int kStageBytes>
class UnitRing {
 public:
  __device__ UnitRing(const RingMemory<kStageBytes>& memory, int warp)
      : units_(SharedAddress(memory.units) + static_cast<uint32_t>(warp * memory.stages * kStageBytes)),
        full_(memory.full + warp * memory.stages),
        stages_(memory.stages),
        left_(memory.stages) {}

  // The next stage, once it is there.
  __device__ const uint8_t* Wait() {
    full_.Wait(parity_);
    return static_cast<const uint8_t*>(__cvta_shared_to_generic(units_));
  }
  // All lanes have read what Wait gave. The fence is for loads that are still under way: nothing else orders
  // them before an asynchronous copy into the stage, and without it BF16 linears summed parts of later units.
  __device__ void Release() {
    AsyncCopiesComeLater();
    SharedBarrier free = full_;
    free.at += kWarps * 8u * static_cast<uint32_t>(stages_);
    ArriveAsWarp(free);
    units_ += kStageBytes;
    full_.at += 8;
    if (--left_ == 0) {
      left_ = stages_;
      units_ -= kStageBytes * static_cast<uint32_t>(stages_);
      full_.at -= 8u * static_cast<uint32_t>(stages_);
      parity_ ^= 1;
    }
  }

 private:
  uint32_t units_;      // address in shared memory of the stage at hand
  SharedBarrier full_;  // its barrier
  int stages_, left_;   // left_: until the ring begins anew
  uint32_t parity_ = 0;
};

// Fills all rings until the streams end: one warp, of which lane w serves warp w. `ahead`: that warp's.
//
// Weights do not depend on the kernel before, so the rings fill while it ends; but only by half, for inputs
// that are read the moment it has ended would stand in line behind the rest: gate | up of the 8B had them
// 1.25 us after that moment, now 0.9. Weights are the first to leave the L2 cache: nobody reads them again.
template <int kStageBytes>
__device__ __forceinline__ void FillRings(const RingMemory<kStageBytes>& memory, WeightStream& ahead) {
  const int lane = LaneIndex(), ring = lane % kWarps;
  bool is_done = lane >= kWarps || ahead.done();
  int slot = 0;
  uint32_t parity = 1;  // a phase before the first has ended: the ring begins empty
#if __CUDA_ARCH__ >= 900
  uint64_t leaves_first;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(leaves_first));
#endif
  for (int filled = 0; !__all_sync(kAllLanes, is_done); ++filled) {
    if (filled == memory.stages / 2) WaitForPrevious();
    const int index = ring * memory.stages + slot;
    bool is_free = !is_done && SharedBarrier(memory.free + index).Test(parity);
#if __CUDA_ARCH__ >= 900
    if (is_free) {
      const SharedBarrier full(memory.full + index);
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(full.at), "r"(ahead.bytes())
                   : "memory");
      asm volatile(
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
          "[%0], [%1], %2, [%3], %4;" ::"r"(SharedAddress(memory.units + index * kStageBytes)),
          "l"(ahead.units()), "r"(ahead.bytes()), "r"(full.at), "l"(leaves_first)
          : "memory");
    }
#else
    for (unsigned rest = __ballot_sync(kAllLanes, is_free); rest != 0; rest &= rest - 1) {
      const int from = __ffs(static_cast<int>(rest)) - 1;
      const int to = __shfl_sync(kAllLanes, index, from), bytes = __shfl_sync(kAllLanes, ahead.bytes(), from);
      const auto* units = reinterpret_cast<const uint8_t*>(
          __shfl_sync(kAllLanes, reinterpret_cast<unsigned long long>(ahead.units()), from));
      for (int offset = 16 * lane; offset < bytes; offset += 16 * kWarpLanes)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                         SharedAddress(memory.units + to * kStageBytes + offset)),
                     "l"(units + offset)
                     : "memory");
      asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(SharedAddress(memory.full + to))
                   : "memory");
    }
#endif
    if (is_free) {
      ahead.Advance();
      is_done = ahead.done();
      if (++slot == memory.stages) {
        slot = 0;
        parity ^= 1;
      }
    }
    if (!__any_sync(kAllLanes, is_free)) __nanosleep(20);
  }
#if __CUDA_ARCH__ < 900
  asm volatile("cp.async.wait_all;" ::: "memory");  // this warp's own copies: it must outlive them
#endif
}

}  // namespace fourstep::cuda
