// What the warps of a block that multiply do with its tiles of a linear: sums, and what becomes of them.
#pragma once

#include <cstdint>

#include "cuda/linear_epilogue.cuh"
#include "cuda/linear_plan.cuh"
#include "cuda/shared_barrier.cuh"

namespace fourstep::cuda {

// The sums of a tile, of all warps: [kWarps][1 << log_pairs pairs of tokens][8 pairs of outputs][token of the
// pair][output of the pair]. Outputs i and i + 8 are a pair, which is a gate and its up. Where a pair of
// outputs stands differs with the pair of tokens, so that the lanes that store and those that load are on
// different banks.
constexpr int SumFloats(int log_pairs) {
  return (kWarps * 32) << log_pairs;
}
__device__ __forceinline__ int SumPlace(int warp, int token_pair, int output_pair, int log_pairs) {
  return (((warp << log_pairs) + token_pair) * 8 + (output_pair ^ 2 * token_pair)) * 4;
}

// A value of a tile that a lane finishes.
struct Output {
  int i;      // packed row of the tile
  int token;  // row of the batch within the token tile
};

// The sum of packed row i over all warps, in their order: that of GemmKernel too, which sums the runs of all
// warps itself.
__device__ __forceinline__ float SumWarps(const float* sums, int i, int token, int log_pairs) {
  const float* at = sums + SumPlace(0, token / 2, i % 8, log_pairs) + token % 2 * 2 + i / 8;
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) sum += at[(warp * 32) << log_pairs];
  return sum;
}
// Of rows i (< 8) and i + 8.
__device__ __forceinline__ float2 SumWarpsOfPair(const float* sums, int i, int token, int log_pairs) {
  const float* at = sums + SumPlace(0, token / 2, i, log_pairs) + token % 2 * 2;
  float2 sum{};
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    const float2 add = *reinterpret_cast<const float2*>(at + ((warp * 32) << log_pairs));
    sum.x += add.x;
    sum.y += add.y;
  }
  return sum;
}

// How sums go from the warps that multiply to those that finish tiles: a group of kTiles at a time, by
// kFinished << log_pairs warps, a lane a value (kIsGated: a gate and its up). Warps take turns at it, and
// nobody else waits. Two buffers, so that the next group's sums can come meanwhile.
template <int kTiles, bool kIsGated>
class SumExchange {
 public:
  static constexpr int kBuffers = 2, kNumBarriers = 2 * kBuffers;
  static constexpr int Bytes(int log_pairs) {
    return kBuffers * kTiles * SumFloats(log_pairs) * static_cast<int>(sizeof(float));
  }

  // barriers [kNumBarriers], buffers [Bytes]: in shared memory.
  __device__ SumExchange(const uint64_t* barriers, float* buffers, int log_pairs)
      : full_(barriers), buffer_(buffers), log_pairs_(log_pairs), finisher_(WarpIndex()) {
    const int lane = LaneIndex(), pair = lane % 4;
    keeps_ = pair >> log_pairs == 0;
    place_ = SumPlace(WarpIndex(), pair, lane / 4, log_pairs);
  }
  // One thread of the block, which meets before the exchange is used.
  __device__ static void Init(const uint64_t* barriers, int log_pairs) {
    for (int b = 0; b < kBuffers; ++b) {
      SharedBarrier(barriers + b).Init(kWarps * kWarpArrivals);
      SharedBarrier(barriers + kBuffers + b).Init(kWarpArrivals * (kFinished << log_pairs));
    }
  }

  // Whether this warp has a part in finishing the group at hand: of tile Tile() of it, the value Mine().
  __device__ bool Finishes() const { return finisher_ < kFinished << log_pairs_; }
  __device__ int Tile() const { return (finisher_ >> log_pairs_) * (kTiles / kFinished); }
  __device__ Output Mine() const {
    const int value = (finisher_ & ((1 << log_pairs_) - 1)) * kWarpLanes + LaneIndex();
    return {value % kTileOutputs, value / kTileOutputs};
  }

  // Sums of this warp: between BeginWrite and EndWrite.
  __device__ void BeginWrite() const { Barrier(kBuffers).Wait(parity_ ^ 1); }
  __device__ void Write(int tile, const float (&sums)[4]) const {
    if (keeps_)
      *reinterpret_cast<float4*>(buffer_ + tile * SumFloats(log_pairs_) + place_) =
          make_float4(sums[0], sums[2], sums[1], sums[3]);
  }
  __device__ void EndWrite() const { ArriveAsWarp(Barrier(0)); }
  // Those of all warps: between BeginRead and EndRead, by the warps that finish.
  __device__ void BeginRead() const { Barrier(0).Wait(parity_); }
  __device__ float Sum(int tile, int i, int token) const {
    return SumWarps(buffer_ + tile * SumFloats(log_pairs_), i, token, log_pairs_);
  }
  __device__ float2 SumOfPair(int tile, int i, int token) const {
    return SumWarpsOfPair(buffer_ + tile * SumFloats(log_pairs_), i, token, log_pairs_);
  }
  __device__ void EndRead() const { ArriveAsWarp(Barrier(kBuffers)); }
  __device__ void Next() {
    finisher_ = (finisher_ - (kFinished << log_pairs_)) & (kWarps - 1);
    is_second_ = !is_second_;
    const int floats = kTiles * SumFloats(log_pairs_);
    buffer_ += is_second_ ? floats : -floats;
    if (!is_second_) parity_ ^= 1;
  }

 private:
  static constexpr int kFinished = kIsGated ? kTiles / 2 : kTiles;  // tiles, or pairs of them
  __device__ SharedBarrier Barrier(int first) const {
    SharedBarrier b = full_;
    b.at += 8u * static_cast<uint32_t>(first + (is_second_ ? 1 : 0));
    return b;
  }
  SharedBarrier full_;
  float* buffer_;  // of the group at hand
  int log_pairs_;
  int finisher_;  // this warp among those that finish it, if any
  int place_;     // of this lane's sums in a tile's
  bool keeps_, is_second_ = false;
  uint32_t parity_ = 0;
};

// A block walks over its tiles in groups of kTiles: so that a group's sums are exchanged together, that a
// gated pair is, and that a slice of inputs is loaded once for a group.
template <int kTiles, bool kIsGated>
class TileWalk {
 public:
  using Exchange = SumExchange<kTiles, kIsGated>;

  __device__ TileWalk(const Plan& p, const BlockRows& mine, const BlockTiles& tiles, const Exchange& exchange)
      : c_(p.call), first_row_(mine.first), tiles_(tiles), exchange_(exchange) {}

  template <class Inputs, class Ring>
  __device__ __forceinline__ void Run(Inputs& inputs, Ring& ring) {
    for (group_ = 0; group_ < tiles_.count; group_ += kTiles) {
      num_tiles_ = min(kTiles, tiles_.count - group_);
      if constexpr (Inputs::kTokenTiles == 1) {
        // What ends a tile is fetched before it is summed, and sums leave the registers one by one.
        const EndFactors factors = LoadFactors(0);
        exchange_.BeginWrite();
        inputs.template Sum<kTiles>(num_tiles_, ring,
                                    [&](int r, const float(&sums)[4]) { exchange_.Write(r, sums); });
        exchange_.EndWrite();
        End(0, factors);
      } else {
        float sums[kTiles][Inputs::kTokenTiles][4] = {};
        inputs.Sum(num_tiles_, ring, sums);
#pragma unroll
        for (int token_tile = 0; token_tile < Inputs::kTokenTiles; ++token_tile) {
          exchange_.BeginWrite();
#pragma unroll
          for (int r = 0; r < kTiles; ++r) exchange_.Write(r, sums[r][token_tile]);
          exchange_.EndWrite();
          End(token_tile, LoadFactors(token_tile));
        }
      }
    }
  }

 private:
  __device__ bool EndsTile() const {
    return exchange_.Finishes() && exchange_.Tile() < num_tiles_;
  }
  // Of the linear: the tile that this warp finishes, the first of a pair.
  __device__ int Tile() const {
    return tiles_.At(group_ + exchange_.Tile());
  }
  __device__ int RowOf(const Output& o, int token_tile) const {
    return first_row_ + token_tile * kTokens + o.token;
  }

  struct EndFactors {
    Factors of[kIsGated ? 2 : 1] = {};
  };
  __device__ __forceinline__ EndFactors LoadFactors(int token_tile) const {
    EndFactors factors;
    if (!EndsTile()) return factors;
    const Output o = exchange_.Mine();
    const int row = RowOf(o, token_tile);
    if constexpr (kIsGated) {
      factors.of[0] = cuda::LoadFactors(c_, Tile() + o.i / 8, o.i % 8, row);
      factors.of[1] = cuda::LoadFactors(c_, Tile() + o.i / 8, o.i % 8 + 8, row);
    } else {
      factors.of[0] = cuda::LoadFactors(c_, Tile(), o.i, row);
    }
    return factors;
  }

  // The part of this warp in finishing the group, if it has one.
  __device__ __forceinline__ void End(int token_tile, const EndFactors& factors) {
    if (EndsTile()) {
      FinishTile(token_tile, factors);
    } else if (exchange_.Finishes()) {
      exchange_.EndRead();  // the last group lacks tiles
    }
    exchange_.Next();
  }
  // A pair of gated tiles holds 16 outputs: those of a token are 16 lanes next to each other, a block of
  // NVFP4.
  __device__ __forceinline__ void FinishTile(int token_tile, const EndFactors& factors) {
    const Output o = exchange_.Mine();
    const int row = RowOf(o, token_tile), tile = exchange_.Tile();
    exchange_.BeginRead();
    if constexpr (kIsGated) {
      const float2 sums = exchange_.SumOfPair(tile + o.i / 8, o.i % 8, o.token);
      exchange_.EndRead();
      StoreGatedOutput(c_, Finish(factors.of[0], sums.x), Finish(factors.of[1], sums.y), Tile() * 8 + o.i,
                       row);
    } else {
      const float sum = exchange_.Sum(tile, o.i, o.token);
      exchange_.EndRead();
      StoreOutput(c_, factors.of[0], sum, Tile() * kTileOutputs + o.i, row);
    }
  }

  const LinearCall& c_;
  const int first_row_;
  const BlockTiles tiles_;
  Exchange exchange_;
  int group_ = 0, num_tiles_ = 0;  // the group at hand: its first tile, of those of the block
};

}  // namespace fourstep::cuda
