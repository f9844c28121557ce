// The kernel of linear.h: what a block does with its tiles. Included by linear.cu alone.
#pragma once

#include <cstdint>

#include "cuda/kernel_util.cuh"
#include "cuda/linear.h"
#include "cuda/row_form.cuh"
#include "cuda/unit_ring.cuh"

namespace fourstep::cuda {

constexpr int kWarps = 16, kThreads = kWarps * kWarpLanes;
constexpr int kTokens = 8;  // columns of an mma: rows of the batch
// Inputs are taken in slices of at most so many units, so that eight rows of a slice fit shared memory beside
// the rings. The slices of a matrix are the same for any number of rows: they are part of the order of sums.
constexpr int kMaxSliceUnits = 104;
constexpr int kTileSums = kTileOutputs * kTokens;

struct Plan {
  LinearCall call;
  int32_t num_slices, slice_units;
  int32_t held_units;  // of the rows in shared memory at a time: those of a slice, or all where they fit
  int32_t log_tokens;  // rows held in shared memory a token tile: 1 << log_tokens
  int32_t stages;
  int32_t rows_bytes, ring_bytes;
};

// Which units of a slice a warp sums.
struct Run {
  int begin, end;
};
__device__ __forceinline__ Run RunOf(const Plan& p, int slice, int warp) {
  const int first = slice * p.slice_units;
  const int count = min(p.slice_units, p.call.linear.num_units - first);
  return {first + warp * count / kWarps, first + (warp + 1) * count / kWarps};
}

// Walks over a warp's units in the order in which they are summed.
template <int kTiles, bool kIsSliced>
class UnitCursor {
 public:
  __device__ UnitCursor(const Plan& plan, int first_tile, int end_tile, int warp)
      : p_(plan), first_(first_tile), end_(end_tile), warp_(warp), run_(RunOf(plan, 0, warp)) {
    unit_ = run_.begin;
    Settle();
  }
  __device__ bool done() const { return first_ >= end_; }
  __device__ int64_t unit() const { return int64_t{first_ + tile_} * p_.call.linear.num_units + unit_; }
  __device__ void Advance() {
    ++unit_;
    Settle();
  }

 private:
  __device__ void Settle() {
    while (unit_ >= run_.end && first_ < end_) {
      if (++tile_ >= min(kTiles, end_ - first_)) {
        tile_ = 0;
        if (!kIsSliced || ++slice_ >= p_.num_slices) {
          slice_ = 0;
          first_ += kTiles;
        }
        if (kIsSliced) run_ = RunOf(p_, slice_, warp_);
      }
      unit_ = run_.begin;
    }
  }
  const Plan& p_;
  int first_, end_, warp_;
  Run run_;
  int tile_ = 0, slice_ = 0, unit_ = 0;
};

// Eight 4-bit values of two outputs and four inputs into the registers of an mma, as BF16 patterns: sign at
// bit 15, exponent and mantissa at bits 8..6 of each half, which is 2^-126 of the value, subnormals included.
// PlacePair in packed_linear.cu is the other direction.
__device__ __forceinline__ void Unpack(uint32_t w, uint32_t (&a)[4]) {
  constexpr uint32_t kPattern = 0x81C081C0u, kSign = 0x80008000u, kTop = 0x01000100u;
  a[0] = w & kPattern;
  a[1] = w << 3 & kPattern;
  a[2] = w << 6 & kPattern;
  a[3] = (w << 1 & kSign) | (w >> 5 & kTop) | (w >> 4 & (kPattern & ~kSign & ~kTop));
}

// A block scale times 2^118, in both halves. The product with a pattern is 2^-8 of the weight, exactly.
__device__ __forceinline__ uint32_t ScalePair(uint32_t scale) {
  return scale * 0x00100010u + 0x72007200u;
}

// The registers of mma `step` (0..3) of the unit at `unit`.
struct FourBitUnit {
  static constexpr int kBytes = kFourBitUnitBytes;
  uint32_t words[4];
  uint32_t scale_g, scale_g8;
  __device__ FourBitUnit(const uint8_t* unit, int lane) {
    const uint4 w = *reinterpret_cast<const uint4*>(unit + 16 * lane);
    words[0] = w.x, words[1] = w.y, words[2] = w.z, words[3] = w.w;
    const uint32_t scales = *reinterpret_cast<const uint16_t*>(unit + kFourBitScaleOffset + 2 * lane);
    scale_g = ScalePair(scales & 0xFFu);
    scale_g8 = ScalePair(scales >> 8);
  }
  __device__ void Load(int step, uint32_t (&a)[4]) const {
    Unpack(words[step], a);
    a[0] = MultiplyPair(a[0], scale_g);
    a[1] = MultiplyPair(a[1], scale_g8);
    a[2] = MultiplyPair(a[2], scale_g);
    a[3] = MultiplyPair(a[3], scale_g8);
  }
};
struct Bf16Unit {
  static constexpr int kBytes = kBf16UnitBytes;
  const uint8_t* unit;
  int lane;
  __device__ Bf16Unit(const uint8_t* u, int l) : unit(u), lane(l) {}
  __device__ void Load(int step, uint32_t (&a)[4]) const {
    const uint4 w = *reinterpret_cast<const uint4*>(unit + 16 * (step * kWarpLanes + lane));
    a[0] = w.x, a[1] = w.y, a[2] = w.z, a[3] = w.w;
  }
};

// Where 16 bytes (eight inputs) of a row stand in shared memory: in the order in which lanes load them.
template <int kTokenTiles>
__device__ __forceinline__ int RowPlace(int unit, int token_tile, int half, int g, int t, int log_tokens) {
  if constexpr (kTokenTiles == 1) return ((((unit * 2 + half) << log_tokens) + g) * 4) + t;
  return (((unit * kTokenTiles + token_tile) * 2 + half) * kTokens + g) * 4 + t;
}

// Units `first` and on. Several loads of a thread are in flight at a time: one after the other they would
// cost a microsecond a row.
template <int kTokenTiles>
__device__ void LoadRows(const Plan& p, int first, uint4* rows) {
  constexpr int kInFlight = kTokenTiles == 1 ? 4 : 8;
  const int chunks = min(p.held_units, p.call.linear.num_units - first) * (kUnitInputs / 8);
  const auto* from = reinterpret_cast<const uint4*>(p.call.x) + first * (kUnitInputs / 8);
  const int row_chunks = p.call.x_stride / 8, total = chunks * p.call.num_rows;
  for (int begin = static_cast<int>(threadIdx.x); begin < total; begin += kInFlight * kThreads) {
    uint4 loaded[kInFlight];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      const int i = begin + j * kThreads;
      if (i < total) loaded[j] = from[int64_t{i / chunks} * row_chunks + i % chunks];
    }
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) {
      const int i = begin + j * kThreads, row = i / chunks, chunk = i % chunks;
      if (i < total)
        rows[RowPlace<kTokenTiles>(chunk / 8, row / kTokens, chunk % 2, row % kTokens, chunk % 8 / 2,
                                   p.log_tokens)] = loaded[j];
    }
  }
}

// Adds one unit of a tile to the sums of all token tiles. `unit` counts from the first one held.
template <class Unit, int kTokenTiles>
__device__ __forceinline__ void MultiplyUnit(const Plan& p, const uint8_t* weights, const uint4* rows,
                                             int unit, int lane, float (&sums)[kTokenTiles][4]) {
  const Unit w(weights, lane);
  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint32_t a0[4], a1[4];
    w.Load(2 * half, a0);
    w.Load(2 * half + 1, a1);
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      uint4 b{};
      if (tile * kTokens + g < p.call.num_rows)
        b = rows[RowPlace<kTokenTiles>(unit, tile, half, g, t, p.log_tokens)];
      Mma(sums[tile], a0, b.x, b.y);
      Mma(sums[tile], a1, b.z, b.w);
    }
  }
}

// Where an output's thread works: four lanes a value, 128 values of a tile and token tile.
struct Output {
  int quarter;  // of the warps, that this lane sums
  int i;        // packed row of the tile
  int token;    // row of the batch within the token tile
};
__device__ __forceinline__ Output MyOutput() {
  const int value = static_cast<int>(threadIdx.x) / 4;
  return {static_cast<int>(threadIdx.x) % 4, value % kTileOutputs, value / kTileOutputs};
}

// partial [kWarps][128]: the sum of packed row i over all warps, in an order that nothing changes. All four
// lanes get it.
__device__ __forceinline__ float SumWarps(const float* partial, int i, const Output& o) {
  const float* at = partial + ((i % 8) * 4 + o.token / 2) * 4 + i / 8 * 2 + o.token % 2;
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps / 4; ++warp) sum += at[(4 * warp + o.quarter) * kTileSums];
  sum += __shfl_xor_sync(kAllLanes, sum, 1);
  return sum + __shfl_xor_sync(kAllLanes, sum, 2);
}

// What an output's sum is combined with, loaded while the units of its tile are still being summed.
struct Factors {
  float alpha, added;  // added: the bias, and for kResidual what the output is added to
};
__device__ __forceinline__ Factors LoadFactors(const LinearCall& c, int tile, int i, int row) {
  Factors f{};
  const int packed = tile * kTileOutputs + i;
  f.alpha = c.linear.alpha[packed];
  if (c.linear.bias != nullptr) f.added = c.linear.bias[packed];
  if (c.epilogue == Epilogue::kResidual) {
    const int output = OutputOfRow(c.linear, packed);
    if (output >= 0 && row < c.num_rows)
      f.added +=
          BFloat16::Decode({static_cast<const uint16_t*>(c.out)[int64_t{row} * c.out_stride + output]});
  }
  return f;
}
__device__ __forceinline__ float Finish(const Factors& f, float sum) {
  return f.alpha * sum + f.added;
}

__device__ __forceinline__ void StoreTile(const LinearCall& c, const float* partial, const Factors& factors,
                                          int tile, int token_tile) {
  const Output o = MyOutput();
  if (token_tile * kTokens + o.token >= c.num_rows) return;  // whole warps: two a token
  const int row = token_tile * kTokens + o.token;
  const float y = Finish(factors, SumWarps(partial, o.i, o));
  const int output = OutputOfRow(c.linear, tile * kTileOutputs + o.i);
  if (o.quarter != 0 || output < 0) return;
  const int64_t at = int64_t{row} * c.out_stride + output;
  if (c.epilogue == Epilogue::kLogits) {
    static_cast<float*>(c.out)[at] = y;
  } else {
    static_cast<uint16_t*>(c.out)[at] = BFloat16::Encode(y).bits;
  }
}

// partial [2][kWarps][128], of tiles `tile` and `tile + 1`, which hold 16 outputs. Two warps hold a token's,
// so the largest magnitude of the block goes through shared memory.
__device__ __forceinline__ void StoreGated(const LinearCall& c, const float* partial,
                                           const Factors& gate_factors, const Factors& up_factors,
                                           float* values, int tile, int token_tile) {
  const Output o = MyOutput();
  const int row = token_tile * kTokens + o.token;
  const float* sums = partial + o.i / 8 * kWarps * kTileSums;
  const float gate = Finish(gate_factors, SumWarps(sums, o.i % 8, o));
  const float up = Finish(up_factors, SumWarps(sums, o.i % 8 + 8, o));
  const int output = tile * 8 + o.i;
  const bool exists = row < c.num_rows && output < c.linear.pair_outputs;
  const float y = exists ? RoundForConsumer(gate / (1.0f + expf(-gate)) * up, output, c.form) : 0.0f;
  float stored = y;
  if (c.form.is_nvfp4) {
    if (o.quarter == 0) values[o.token * kTileOutputs + o.i] = y;
    __syncthreads();
    float amax = 0;
    for (int j = o.quarter; j < kTileOutputs; j += 4)
      amax = fmaxf(amax, fabsf(values[o.token * kTileOutputs + j]));
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, 1));
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, 2));
    stored = QuantizeInBlock(y, amax, c.form.inverse_scale);
  }
  if (exists && o.quarter == 0)
    static_cast<uint16_t*>(c.out)[int64_t{row} * c.out_stride + output] = BFloat16::Encode(stored).bits;
}

// A block walks over groups of kTiles tiles (two for a gated pair, four where rows come in slices, so that a
// slice is loaded once for all of a block's tiles).
template <class Unit, int kTiles, int kTokenTiles, bool kIsSliced>
__global__ __launch_bounds__(kThreads,
                             kTokenTiles == 1 ? 2 : 1) void LinearKernel(const __grid_constant__ Plan p) {
  extern __shared__ __align__(128) uint8_t shared[];
  auto* rows = reinterpret_cast<uint4*>(shared);
  uint8_t* rings = shared + p.rows_bytes;
  auto* partial = reinterpret_cast<float*>(rings + p.ring_bytes);
  constexpr int kPartialTiles = kTiles == 2 ? 2 : 1;
  constexpr int kPartial = kPartialTiles * kWarps * kTileSums;
  float* values = partial + 2 * kPartial;  // [128], of a gated tile
  auto* barriers = reinterpret_cast<uint64_t*>(values + kTileSums);
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes,
            lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const LinearView& v = p.call.linear;

  // This block's tiles; those of a gated pair stay together.
  constexpr int kGranule = kTiles == 2 ? 2 : 1;
  const int64_t granules = v.num_tiles / kGranule;
  const int first_tile = kGranule * static_cast<int>(blockIdx.x * granules / gridDim.x);
  const int end_tile = kGranule * static_cast<int>((blockIdx.x + 1) * granules / gridDim.x);

  UnitRing<Unit::kBytes> ring(rings + warp * p.stages * Unit::kBytes, barriers + warp * p.stages, p.stages,
                              lane);
  UnitCursor<kTiles, kIsSliced> ahead(p, first_tile, end_tile, warp);
  const auto fill = [&] {
    if (ahead.done()) return;
    ring.Fill(v.units + ahead.unit() * Unit::kBytes);
    ahead.Advance();
  };
  for (int s = 0; s + 1 < p.stages; ++s) fill();
  LetNextBegin();
  WaitForPrevious();
  const bool holds_all = !kIsSliced || p.held_units == v.num_units;
  if (holds_all) {
    LoadRows<kTokenTiles>(p, 0, rows);
    __syncthreads();
  }

  int buffer = 0;
  const Output o = MyOutput();
  for (int tile = first_tile; tile < end_tile; tile += kTiles) {
    const int num_tiles = min(kTiles, end_tile - tile);
    const auto load_factors = [&](int r, int token_tile) {
      const int my_row = token_tile * kTokens + o.token;
      if (kTiles == 2) return LoadFactors(p.call, tile + o.i / 8, o.i % 8 + 8 * r, my_row);  // gate, up
      return LoadFactors(p.call, tile + r, o.i, my_row);
    };
    Factors factors[kTiles];
    if (kTokenTiles == 1) {
#pragma unroll
      for (int r = 0; r < kTiles; ++r)
        if (r < num_tiles) factors[r] = load_factors(r, 0);
    }
    float sums[kTiles][kTokenTiles][4] = {};
    const int num_slices = kIsSliced ? p.num_slices : 1;
    for (int slice = 0; slice < num_slices; ++slice) {
      const int first_held = holds_all ? 0 : slice * p.slice_units;
      if (!holds_all) {
        __syncthreads();
        LoadRows<kTokenTiles>(p, first_held, rows);
        __syncthreads();
      }
      const Run run = RunOf(p, slice, warp);
#pragma unroll
      for (int r = 0; r < kTiles; ++r) {
        if (r >= num_tiles) break;
        for (int unit = run.begin; unit < run.end; ++unit) {
          const uint8_t* weights = ring.Wait();
          __syncwarp();
          fill();  // into the stage read before this one
          MultiplyUnit<Unit, kTokenTiles>(p, weights, rows, unit - first_held, lane, sums[r]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kTiles; r += kPartialTiles) {
      if (r >= num_tiles) break;
#pragma unroll
      for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile) {
        float* to = partial + buffer * kPartial;
        buffer ^= 1;
#pragma unroll
        for (int i = 0; i < kPartialTiles; ++i) {
          reinterpret_cast<float4*>(to)[(i * kWarps + warp) * kWarpLanes + lane] =
              make_float4(sums[r + i][token_tile][0], sums[r + i][token_tile][1], sums[r + i][token_tile][2],
                          sums[r + i][token_tile][3]);
        }
        if (kTokenTiles > 1) {
#pragma unroll
          for (int i = 0; i < kPartialTiles; ++i) factors[r + i] = load_factors(r + i, token_tile);
        }
        __syncthreads();
        if (kTiles == 2) {
          StoreGated(p.call, to, factors[0], factors[kTiles - 1], values, tile, token_tile);
        } else {
          StoreTile(p.call, to, factors[r], tile + r, token_tile);
        }
      }
    }
  }
}

}  // namespace fourstep::cuda
