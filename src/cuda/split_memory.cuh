// Shared memory of a block of attention that has some splits of a row, and how many blocks an SM has room
// for.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/context_splits.h"
#include "cuda/warp_attention.cuh"

namespace fourstep::cuda {

// Warps 2 p and 2 p + 1 take the groups of part p of a split, each for half of the dimensions: so that all of
// a group's keys and values can be under way at a time and still leave registers for several blocks an SM.
constexpr int kPairs = kSplitParts, kAttentionThreads = 2 * kPairs * kWarpLanes;

// Tiles of the query heads that share a kv head, and the heads of one, at most.
FOURSTEP_HD int HeadTiles(const CacheView& c) {
  return (c.heads_per_kv() + kTileQueries - 1) / kTileQueries;
}
FOURSTEP_HD int TileHeads(const CacheView& c) {
  const int each = c.heads_per_kv();
  return each < kTileQueries ? each : kTileQueries;
}

// That an SM has room for at a time, where warps hold one group each.
template <int kDims>
constexpr int kBlocksAnSm = kDims > 128 ? 1 : 2;

// kQueries: heads of a tile, at most. Behind it are the results of the pairs for each split of the block:
// [splits][kPairs][TileHeads][kPartialStride].
template <class Cache, int kDims, int kQueries>
struct SplitMemory {
  alignas(16) uint16_t q[kQueries * kQueryStride<kDims>];
  // The row's key, as the cache has it, and its value, by dimension: where the kernel rotates.
  alignas(16) typename Cache::Value own[2][kDims];

  __device__ float* results() { return reinterpret_cast<float*>(this + 1); }
  FOURSTEP_HD static int PairFloats(const CacheView& c) { return TileHeads(c) * kPartialStride<kDims>; }

  static constexpr int kMostBytes = (kBlocksAnSm<kDims> == 1 ? 99 : 48) * 1024;  // every SM has so much
  static int Bytes(const CacheView& c, int splits) {
    return static_cast<int>(sizeof(SplitMemory)) +
           splits * kPairs * PairFloats(c) * static_cast<int>(sizeof(float));
  }
  // Splits that a block may have. More of a row would leave a long one beside short ones to few SMs.
  static int MostSplits(const CacheView& c) {
    constexpr int kMost = 4;
    int most = 1;
    while (most < kMost && Bytes(c, most + 1) <= kMostBytes) ++most;
    return most;
  }
};

}  // namespace fourstep::cuda
