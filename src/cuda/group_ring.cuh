// Groups on their way from the cache to a pair of warps that take the same ones: a ring of stages in shared
// memory. One warp of the pair fetches the keys, the other the values; both read both.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/attention.h"
#include "cuda/shared_barrier.cuh"
#include "cuda/shared_copy.cuh"

namespace fourstep::cuda {

// A group as the cache has it: keys [16, kDims], values [kDims, 16].
template <class Cache, int kDims>
struct GroupStage {
  static constexpr int kPartSize = kGroupTokens * kDims;
  alignas(16) typename Cache::Value parts[2][kPartSize];

  __device__ const auto* keys() const { return parts[0]; }
  __device__ const auto* values() const { return parts[1]; }
};

// So many that the rings of a block fit where it has 99 KB, and several blocks an SM on larger devices.
template <class Cache, int kDims>
constexpr int kRingStages = std::clamp(16 * 1024 / static_cast<int>(sizeof(GroupStage<Cache, kDims>)), 1, 4);

// Of stages that are full, and of such that are free again.
template <int kStages>
struct RingBarriers {
  uint64_t full[kStages], free[kStages];

  // One thread of the pair; the pair meets before anyone uses them.
  __device__ void Init() {
#if __CUDA_ARCH__ >= 900
    constexpr uint32_t kCopies = 1;
#else
    constexpr uint32_t kCopies = kWarpLanes;
#endif
    for (int i = 0; i < kStages; ++i) {
      SharedBarrier(full + i).Init(2 * kCopies);
      SharedBarrier(free + i).Init(2 * kWarpArrivals);
    }
    BarriersAreReady();
  }
};

// A pair's ring as one of its warps has it. All lanes call everything.
template <class Cache, int kDims>
class GroupRing {
 public:
  static constexpr int kStages = kRingStages<Cache, kDims>;
  using Value = typename Cache::Value;
  using Stage = GroupStage<Cache, kDims>;

  // `part`: 0 for the warp that fetches keys, 1 for that of the values. stages [kStages].
  __device__ GroupRing(Stage* stages, RingBarriers<kStages>& barriers, int part, int lane)
      : stages_(stages), barriers_(barriers), part_(part), lane_(lane) {}

  // Begins to fetch this warp's part of a group [kPartSize] into the next stage, once that is free.
  __device__ __forceinline__ void Fetch(const Value* from) {
    const int slot = fetched_ % kStages;
    const uint32_t parity =
        fetched_ / kStages % 2 ^ 1;  // a phase before the first has ended: it begins empty
    const SharedBarrier full(barriers_.full + slot), free(barriers_.free + slot);
    Value* to = stages_[slot].parts[part_];
    constexpr int kBytes = Stage::kPartSize * static_cast<int>(sizeof(Value));
#if __CUDA_ARCH__ >= 900
    if (lane_ == 0) {
      free.Wait(parity);
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(full.at), "n"(kBytes)
                   : "memory");
      asm volatile(
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
              SharedAddress(to)),
          "l"(from), "n"(kBytes), "r"(full.at)
          : "memory");
    }
    __syncwarp();
#else
    free.Wait(parity);
    constexpr int kPiece = 16 / sizeof(Value);
    for (int i = lane_ * kPiece; i < Stage::kPartSize; i += kWarpLanes * kPiece)
      CopyToShared<16>(to + i, from + i, 16);
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(full.at) : "memory");
#endif
    ++fetched_;
  }
  // The next group, once it is there.
  __device__ __forceinline__ Stage& Wait() const {
    SharedBarrier(barriers_.full + read_ % kStages).Wait(read_ / kStages % 2);
    return stages_[read_ % kStages];
  }
  // This warp has read what Wait gave. Where it `is_free` then, the stage will be fetched into anew; the
  // fence is for loads that are still under way (unit_ring.cuh).
  __device__ __forceinline__ void Advance(bool is_free) {
    if (is_free) {
      AsyncCopiesComeLater();
      ArriveAsWarp(SharedBarrier(barriers_.free + read_ % kStages));
    }
    ++read_;
  }

 private:
  Stage* stages_;
  RingBarriers<kStages>& barriers_;
  const int part_, lane_;
  uint32_t fetched_ = 0, read_ = 0;  // groups so far
};

}  // namespace fourstep::cuda
