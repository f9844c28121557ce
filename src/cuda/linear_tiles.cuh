// What the warps of a block that multiply do with its tiles of a linear: sums, and what becomes of them.
#pragma once

#include <cstdint>

#include "cuda/linear_plan.cuh"
#include "cuda/row_form.cuh"
#include "cuda/shared_barrier.cuh"

namespace fourstep::cuda {

// The sums of a tile, of all warps: [kWarps][8 pairs of outputs][1 << log_pairs pairs of tokens][4], as lanes
// hold them.
constexpr int SumFloats(int log_pairs) {
  return (kWarps * 32) << log_pairs;
}
__device__ __forceinline__ void KeepSums(float* to, const float (&sums)[4], int log_pairs) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes,
            lane = static_cast<int>(threadIdx.x) % kWarpLanes;
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

// The sum of packed row i over all warps, in an order that nothing changes: warps 0, 4, 8, 12, then those of
// the next residue, and these four in pairs.
__device__ __forceinline__ float SumWarps(const float* sums, int i, int token, int log_pairs) {
  const float* at = sums + (((i % 8) << log_pairs) + token / 2) * 4 + i / 8 * 2 + token % 2;
  float quarters[4] = {};
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) quarters[warp % 4] += at[(warp * 32) << log_pairs];
  return (quarters[0] + quarters[1]) + (quarters[2] + quarters[3]);
}

// How sums go from the warps that multiply to those that finish a tile, which take turns: nobody else waits.
// Two buffers, so that the next tile's sums can come while a tile is being finished.
class SumExchange {
 public:
  static constexpr int kBuffers = 2, kNumBarriers = 2 * kBuffers;

  // barriers [kNumBarriers] in shared memory. A tile is finished by 1 << log_pairs warps, a lane a value.
  __device__ SumExchange(const uint64_t* barriers, int log_pairs)
      : full_(barriers), log_pairs_(log_pairs), warp_(static_cast<int>(threadIdx.x) / kWarpLanes) {}
  // One thread of the block, which meets before the exchange is used.
  __device__ static void Init(const uint64_t* barriers, int log_pairs) {
    for (int b = 0; b < kBuffers; ++b) {
      SharedBarrier(barriers + b).Init(kWarps);
      SharedBarrier(barriers + kBuffers + b).Init(1u << log_pairs);
    }
  }

  __device__ int log_pairs() const { return log_pairs_; }
  // Whether this warp finishes the tile `ahead` of the next one.
  __device__ bool Finishes(int ahead) const { return Index(ahead) >> log_pairs_ == 0; }
  // What this lane finishes of the next tile, where it does.
  __device__ Output Mine(int ahead) const {
    const int value = Index(ahead) * kWarpLanes + static_cast<int>(threadIdx.x) % kWarpLanes;
    return {value % kTileOutputs, value / kTileOutputs};
  }
  __device__ int buffer() const { return count_ % kBuffers; }

  __device__ void BeginWrite() const {
    if (count_ >= kBuffers) Barrier(kBuffers).Wait(static_cast<uint32_t>(count_ / kBuffers - 1) & 1u);
  }
  __device__ void EndWrite() const { Arrive(Barrier(0)); }
  __device__ void BeginRead() const { Barrier(0).Wait(static_cast<uint32_t>(count_ / kBuffers) & 1u); }
  __device__ void EndRead() const { Arrive(Barrier(kBuffers)); }
  __device__ void Next() { ++count_; }

 private:
  __device__ int Index(int ahead) const { return (warp_ - ((count_ + ahead) << log_pairs_)) & (kWarps - 1); }
  __device__ SharedBarrier Barrier(int first) const {
    SharedBarrier b = full_;
    b.at += 8u * static_cast<uint32_t>(first + buffer());
    return b;
  }
  __device__ static void Arrive(const SharedBarrier& barrier) {
    __syncwarp();
    if (threadIdx.x % kWarpLanes == 0) barrier.Arrive();
  }
  SharedBarrier full_;
  int log_pairs_, warp_, count_ = 0;
};

// What an output's sum is combined with, loaded while the units of its tile are still being summed.
struct Factors {
  float alpha, added;  // added: the bias, and for kResidual what the output is added to
};
__device__ __forceinline__ Factors LoadFactors(const LinearCall& c, int tile, int i, int row) {
  Factors f{};
  if (row >= c.num_rows) return f;
  const int packed = tile * kTileOutputs + i;
  f.alpha = c.linear.alpha[packed];
  if (c.linear.bias != nullptr) f.added = c.linear.bias[packed];
  if (c.epilogue == Epilogue::kResidual) {
    const int output = OutputOfRow(c.linear, packed);
    if (output >= 0)
      f.added +=
          BFloat16::Decode({static_cast<const uint16_t*>(c.out)[int64_t{row} * c.out_stride + output]});
  }
  return f;
}
__device__ __forceinline__ float Finish(const Factors& f, float sum) {
  return f.alpha * sum + f.added;
}

// `sums`: of the tile; `row` of the batch.
__device__ __forceinline__ void StoreTile(const LinearCall& c, const float* sums, const Factors& factors,
                                          int tile, int row, const Output& o, const SumExchange& exchange) {
  const float y = Finish(factors, SumWarps(sums, o.i, o.token, exchange.log_pairs()));
  exchange.EndRead();
  const int output = OutputOfRow(c.linear, tile * kTileOutputs + o.i);
  if (row >= c.num_rows || output < 0) return;
  const int64_t at = int64_t{row} * c.out_stride + output;
  if (c.epilogue == Epilogue::kLogits) {
    static_cast<float*>(c.out)[at] = y;
  } else {
    static_cast<uint16_t*>(c.out)[at] = BFloat16::Encode(y).bits;
  }
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
  const int output = tile * 8 + o.i;
  const bool exists = row < c.num_rows && output < c.linear.pair_outputs;
  float y[1] = {exists ? RoundForConsumer(gate / (1.0f + expf(-gate)) * up, output, c.form) : 0.0f};
  if (c.form.is_nvfp4) {
    float amax = fabsf(y[0]);
    for (int distance = 8; distance > 0; distance /= 2)
      amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, distance));
    QuantizePartOfBlock(y, amax, c.form.inverse_scale);
  }
  if (exists)
    static_cast<uint16_t*>(c.out)[int64_t{row} * c.out_stride + output] = BFloat16::Encode(y[0]).bits;
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
