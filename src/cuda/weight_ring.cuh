// A block's ring of weights in shared memory. A warp of its own fills it by asynchronous copies that run
// ahead of the arithmetic; those that multiply wait for a stage, which has units for each of them, and give
// it back.
//
// Four warps, a team, share a copy and its barriers. With a copy a warp the one that fetches had 16 to begin
// for a tile, a hundred cycles each: 64 us for an NVFP4 head of the 8B, behind which everything else had to
// stand. With a copy a tile nobody could multiply before all of it had come, and the last tile's arithmetic
// stood alone at the end: qkv 6.4 us, 6.0 before.
#pragma once

#include <cstdint>

#include "cuda/linear_plan.cuh"
#include "cuda/shared_barrier.cuh"
#include "cuda/weight_stream.h"

namespace fourstep::cuda {

#if __CUDA_ARCH__ >= 900 && !defined(FOURSTEP_RACECHECK)
inline constexpr bool kHasBulkCopies = true;
#else
inline constexpr bool kHasBulkCopies = false;
#endif

// Stages [num_stages][kStageBytes], then barriers [num_stages, kWarpTeams] of stages that are full, and of
// such that are free again.
template <int kStageBytes>
struct RingMemory {
  uint8_t* stages;
  uint64_t *full, *free;
  int num_stages;

  static constexpr int Bytes(int num_stages) {
    return num_stages * (kStageBytes + 2 * kWarpTeams * static_cast<int>(sizeof(uint64_t)));
  }

  __device__ RingMemory(uint8_t* memory, int num) : stages(memory), num_stages(num) {
    full = reinterpret_cast<uint64_t*>(memory + num_stages * kStageBytes);
    free = full + num_stages * kWarpTeams;
  }
  // A lane of the first warp of each team calls; the block meets before the ring is used. One thread for all
  // took a microsecond of every kernel: the barriers of a warp's lanes are set up one after the other.
  __device__ void Init(int team) const {
    constexpr uint32_t kCopies = kHasBulkCopies ? 1 : kWarpLanes;
    for (int i = team; i < num_stages * kWarpTeams; i += kWarpTeams) {
      SharedBarrier(full + i).Init(kCopies);
      SharedBarrier(free + i).Init(kTeamWarps * kWarpArrivals);
    }
    BarriersAreReady();
  }
};

// Where a warp stands in the ring. What says so is moved on, not computed anew: in a kernel that is bound by
// instructions, every stage counts.
template <int kStageBytes>
class WeightRing {
 public:
  __device__ WeightRing(const RingMemory<kStageBytes>& memory, int warp)
      : stage_(SharedAddress(memory.stages)),
        full_(memory.full + warp / kTeamWarps),
        num_stages_(memory.num_stages),
        left_(memory.num_stages) {}

  struct Stage {
    const uint8_t* units;  // [kWarps, stage units]
    SharedBarrier free;
  };
  // The next stage, once what it has for this warp is there.
  __device__ Stage Take() {
    full_.Wait(parity_);
    Stage taken{static_cast<const uint8_t*>(__cvta_shared_to_generic(stage_)), full_};
    taken.free.at += kBarrierStep * static_cast<uint32_t>(num_stages_);
    stage_ += kStageBytes;
    full_.at += kBarrierStep;
    if (--left_ == 0) {
      left_ = num_stages_;
      stage_ -= kStageBytes * static_cast<uint32_t>(num_stages_);
      full_.at -= kBarrierStep * static_cast<uint32_t>(num_stages_);
      parity_ ^= 1;
    }
    return taken;
  }
  // All lanes have read what they want of it. The fence is for loads that are still under way: nothing else
  // orders them before an asynchronous copy into the stage, and without it BF16 linears summed parts of later
  // units.
  __device__ static void Release(const Stage& taken) {
    AsyncCopiesComeLater();
    ArriveAsWarp(taken.free);
  }

 private:
  static constexpr uint32_t kBarrierStep = kWarpTeams * sizeof(uint64_t);
  uint32_t stage_;         // address in shared memory of the stage at hand
  SharedBarrier full_;     // its barrier
  int num_stages_, left_;  // left_: until the ring begins anew
  uint32_t parity_ = 0;
};

// Begins to copy a lane's part of a stage, `bytes` to shared memory at `to`. All lanes come; those of a team
// are neighbours, and its barrier hears when all of theirs are there.
__device__ __forceinline__ void CopyPartsInBulk(const SharedBarrier& full, const uint8_t* from, uint32_t to,
                                                uint32_t bytes) {
  // Weights are the first to leave the L2 cache: nobody reads them again.
  uint64_t leaves_first;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(leaves_first));
  uint32_t team_bytes = bytes;
  for (int distance = 1; distance < kTeamWarps; distance *= 2)
    team_bytes += __shfl_xor_sync(kAllLanes, team_bytes, distance);
  if (LaneIndex() < kWarps && LaneIndex() % kTeamWarps == 0)
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(full.at), "r"(team_bytes)
                 : "memory");
  __syncwarp();
  if (bytes > 0)
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
        "[%0], [%1], %2, [%3], %4;" ::"r"(to),
        "l"(from), "r"(bytes), "r"(full.at), "l"(leaves_first)
        : "memory");
}

// The same where there are no bulk copies: all lanes copy the part of each, and arrive at all barriers.
__device__ __forceinline__ void CopyPartsByLanes(const SharedBarrier& full, const uint8_t* from, uint32_t to,
                                                 uint32_t bytes) {
  for (unsigned rest = __ballot_sync(kAllLanes, bytes > 0); rest != 0; rest &= rest - 1) {
    const int lane = __ffs(static_cast<int>(rest)) - 1;
    const uint32_t part_to = __shfl_sync(kAllLanes, to, lane),
                   part_bytes = __shfl_sync(kAllLanes, bytes, lane);
    const auto* part = reinterpret_cast<const uint8_t*>(
        __shfl_sync(kAllLanes, reinterpret_cast<unsigned long long>(from), lane));
    for (uint32_t offset = 16 * LaneIndex(); offset < part_bytes; offset += 16 * kWarpLanes) {
#ifdef FOURSTEP_RACECHECK
      *static_cast<uint4*>(__cvta_shared_to_generic(part_to + offset)) =
          *reinterpret_cast<const uint4*>(part + offset);
#else
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(part_to + offset), "l"(part + offset)
                   : "memory");
#endif
    }
  }
  for (int team = 0; team < kWarpTeams; ++team) {
    SharedBarrier of_team = full;
    of_team.at = __shfl_sync(kAllLanes, full.at, team * kTeamWarps);
#ifdef FOURSTEP_RACECHECK
    of_team.Arrive();
#else
    asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(of_team.at) : "memory");
#endif
  }
}

// Fills the ring until the stream ends: one warp, lane w for warp w.
//
// Weights do not depend on the kernel before, so the ring fills while it ends; but only by half, for inputs
// that are read the moment it has ended would stand in line behind the rest: gate | up of the 8B had them
// 1.25 us after that moment, now 0.9.
template <int kStageBytes>
__device__ __forceinline__ void FillRing(const RingMemory<kStageBytes>& memory, const StreamedLinear& linear,
                                         const BlockTiles& tiles) {
  const int warp = LaneIndex() % kWarps, team = warp / kTeamWarps;
  int stage = 0;
  uint32_t parity = 1;  // a phase before the first has ended: the ring begins empty
  WeightStream ahead(linear, tiles);
  for (int filled = 0; !ahead.done(); ++filled) {
    if (filled == memory.num_stages / 2) WaitForPrevious();
    const WeightStream::Part mine = ahead.PartOf(warp);
    ahead.Advance();
    const SharedBarrier full(memory.full + stage * kWarpTeams + team);
    const uint32_t to = SharedAddress(memory.stages + stage * kStageBytes + mine.place * linear.unit_bytes);
    const uint32_t bytes = LaneIndex() < kWarps ? static_cast<uint32_t>(mine.count * linear.unit_bytes) : 0;
    if constexpr (kHasBulkCopies) {
      SharedBarrier(memory.free + stage * kWarpTeams + team).Wait(parity);
      CopyPartsInBulk(full, mine.from, to, bytes);
    } else {
      for (int i = 0; i < kWarpTeams; ++i) SharedBarrier(memory.free + stage * kWarpTeams + i).Wait(parity);
      CopyPartsByLanes(full, mine.from, to, bytes);
    }
    if (++stage == memory.num_stages) {
      stage = 0;
      parity ^= 1;
    }
  }
  // This warp's own copies: it must outlive them.
  if constexpr (!kHasBulkCopies) asm volatile("cp.async.wait_all;" ::: "memory");
}

}  // namespace fourstep::cuda
