// What the warps of a block that multiply do with its tiles of a linear: sums, and what becomes of them.
#pragma once

#include <cstdint>

#include "cuda/linear_epilogue.cuh"
#include "cuda/linear_plan.cuh"
#include "cuda/shared_barrier.cuh"

namespace fourstep::cuda {

// The sums of a tile, of all warps: [kWarps][8 pairs of outputs][1 << log_pairs pairs of tokens][4], as lanes
// hold them.
constexpr int SumFloats(int log_pairs) {
  return (kWarps * 32) << log_pairs;
}
__device__ __forceinline__ void KeepSums(float* to, const float (&sums)[4], int log_pairs) {
  const int warp = WarpIndex(), lane = LaneIndex();
  const int g = lane / 4, t = lane % 4;
  if (t >> log_pairs != 0) return;
  reinterpret_cast<float4*>(to)[((warp * 8 + g) << log_pairs) + t] =
      make_float4(sums[0], sums[1], sums[2], sums[3]);
}

// A value of a tile that a lane finishes.
struct Output {
  int i;      // packed row of the tile
  int token;  // row of the batch within the token tile
};

// The sum of packed row i over all warps, in their order: that of GemmKernel too, which sums the runs of all
// warps itself.
__device__ __forceinline__ float SumWarps(const float* sums, int i, int token, int log_pairs) {
  const float* at = sums + (((i % 8) << log_pairs) + token / 2) * 4 + i / 8 * 2 + token % 2;
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) sum += at[(warp * 32) << log_pairs];
  return sum;
}

// How sums go from the warps that multiply to those that finish a tile, which take turns: nobody else waits.
// Two buffers, so that the next tile's sums can come while a tile is being finished.
class SumExchange {
 public:
  static constexpr int kBuffers = 2, kNumBarriers = 2 * kBuffers;

  // barriers [kNumBarriers] in shared memory. A tile is finished by 1 << log_pairs warps, a lane a value.
  __device__ SumExchange(const uint64_t* barriers, int log_pairs)
      : full_(barriers), log_pairs_(log_pairs), warp_(WarpIndex()) {}
  // One thread of the block, which meets before the exchange is used.
  __device__ static void Init(const uint64_t* barriers, int log_pairs) {
    for (int b = 0; b < kBuffers; ++b) {
      SharedBarrier(barriers + b).Init(kWarps * kWarpArrivals);
      SharedBarrier(barriers + kBuffers + b).Init(kWarpArrivals << log_pairs);
    }
  }

  __device__ int log_pairs() const { return log_pairs_; }
  // Whether this warp finishes the tile `ahead` of the next one.
  __device__ bool Finishes(int ahead) const { return Index(ahead) >> log_pairs_ == 0; }
  // What this lane finishes of the next tile, where it does.
  __device__ Output Mine(int ahead) const {
    const int value = Index(ahead) * kWarpLanes + LaneIndex();
    return {value % kTileOutputs, value / kTileOutputs};
  }
  __device__ int buffer() const { return count_ % kBuffers; }

  __device__ void BeginWrite() const {
    if (count_ >= kBuffers) Barrier(kBuffers).Wait(static_cast<uint32_t>(count_ / kBuffers - 1) & 1u);
  }
  __device__ void EndWrite() const { ArriveAsWarp(Barrier(0)); }
  __device__ void BeginRead() const { Barrier(0).Wait(static_cast<uint32_t>(count_ / kBuffers) & 1u); }
  __device__ void EndRead() const { ArriveAsWarp(Barrier(kBuffers)); }
  __device__ void Next() { ++count_; }

 private:
  __device__ int Index(int ahead) const { return (warp_ - ((count_ + ahead) << log_pairs_)) & (kWarps - 1); }
  __device__ SharedBarrier Barrier(int first) const {
    SharedBarrier b = full_;
    b.at += 8u * static_cast<uint32_t>(first + buffer());
    return b;
  }
  SharedBarrier full_;
  int log_pairs_, warp_, count_ = 0;
};

// `sums`: of the tile; `row` of the batch.
__device__ __forceinline__ void StoreTile(const LinearCall& c, const float* sums, const Factors& factors,
                                          int tile, int row, const Output& o, const SumExchange& exchange) {
  const float sum = SumWarps(sums, o.i, o.token, exchange.log_pairs());
  exchange.EndRead();
  StoreOutput(c, factors, sum, tile * kTileOutputs + o.i, row);
}

// `sums` of tiles `tile` and `tile + 1`, which hold 16 outputs: those of a token are 16 lanes next to each
// other, a block of NVFP4.
__device__ __forceinline__ void StoreGated(const LinearCall& c, const float* sums,
                                           const Factors& gate_factors, const Factors& up_factors, int tile,
                                           int row, const Output& o, const SumExchange& exchange) {
  const float* pair = sums + o.i / 8 * SumFloats(exchange.log_pairs());
  const float gate = Finish(gate_factors, SumWarps(pair, o.i % 8, o.token, exchange.log_pairs()));
  const float up = Finish(up_factors, SumWarps(pair, o.i % 8 + 8, o.token, exchange.log_pairs()));
  exchange.EndRead();
  StoreGatedOutput(c, gate, up, tile * 8 + o.i, row);
}

// Bytes of the buffers of an exchange, of tiles or of gated pairs.
constexpr int SumBytes(int log_pairs, bool is_gated) {
  return SumExchange::kBuffers * (is_gated ? 2 : 1) * SumFloats(log_pairs) * static_cast<int>(sizeof(float));
}

// A block walks over its tiles in groups of kTiles: two for a gated pair, three where inputs are sliced, so
// that a slice is loaded once for all of a block's tiles. `buffers`: SumBytes of shared memory.
template <int kTiles, class Inputs, class Ring>
__device__ __forceinline__ void WalkTiles(const Plan& p, const BlockRows& mine, const BlockTiles& tiles,
                                          Inputs& inputs, Ring& ring, SumExchange& exchange, float* buffers) {
  constexpr bool kIsGated = kTiles == 2;
  constexpr int kStep = kIsGated ? 2 : 1;  // tiles that are finished together
  constexpr int kTokenTiles = Inputs::kTokenTiles;
  const int log_pairs = exchange.log_pairs();
  for (int group = 0; group < tiles.count; group += kTiles) {
    const int num_tiles = min(kTiles, tiles.count - group);
    Factors factors[2] = {};
    const auto load_factors = [&](int r, const Output& o, int row) {
      if (kIsGated) {
        const int tile = tiles.At(group) + o.i / 8;
        factors[0] = LoadFactors(p.call, tile, o.i % 8, row);
        factors[1] = LoadFactors(p.call, tile, o.i % 8 + 8, row);
      } else {
        factors[0] = LoadFactors(p.call, tiles.At(group + r), o.i, row);
      }
    };
    if (kTokenTiles == 1) {  // early; a warp finishes at most one of a group
#pragma unroll
      for (int r = 0; r < kTiles; r += kStep) {
        if (r >= num_tiles || !exchange.Finishes(r / kStep)) continue;
        const Output o = exchange.Mine(r / kStep);
        load_factors(r, o, mine.first + o.token);
      }
    }
    float sums[kTiles][kTokenTiles][4] = {};
    inputs.Sum(num_tiles, ring, sums);
#pragma unroll
    for (int r = 0; r < kTiles; r += kStep) {
      if (r >= num_tiles) break;
#pragma unroll
      for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile) {
        float* to = buffers + exchange.buffer() * kStep * SumFloats(log_pairs);
        exchange.BeginWrite();
        KeepSums(to, sums[r][token_tile], log_pairs);
        if (kIsGated) KeepSums(to + SumFloats(log_pairs), sums[kTiles - 1][token_tile], log_pairs);
        exchange.EndWrite();
        if (exchange.Finishes(0)) {
          const Output o = exchange.Mine(0);
          const int row = mine.first + token_tile * kTokens + o.token;
          if (kTokenTiles > 1) load_factors(r, o, row);
          exchange.BeginRead();
          if (kIsGated) {
            StoreGated(p.call, to, factors[0], factors[1], tiles.At(group), row, o, exchange);
          } else {
            StoreTile(p.call, to, factors[0], tiles.At(group + r), row, o, exchange);
          }
        }
        exchange.Next();
      }
    }
  }
}

}  // namespace fourstep::cuda
