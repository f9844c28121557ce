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
  int32_t block_rows;  // that a block takes, of those of the call
  int32_t num_slices, slice_units;
  int32_t held_units;  // of the rows in shared memory at a time: those of a slice, or all where they fit
  int32_t log_tokens;  // rows held in shared memory a token tile: 1 << log_tokens
  int32_t stages;      // of a warp's ring
  int32_t rows_bytes, ring_bytes;
};

// The rows of a block: blocks of the same tiles and other rows are neighbours in the grid, so that they run
// side by side and one of them brings the weights to the L2 cache for all.
struct BlockRows {
  int first, count;
};
__device__ __forceinline__ BlockRows RowsOfBlock(const Plan& p) {
  const int first = static_cast<int>(blockIdx.x) * p.block_rows;
  return {first, min(p.block_rows, p.call.num_rows - first)};
}

// Which units of a slice a warp sums.
struct Run {
  int begin, end;
};
__device__ __forceinline__ Run RunOf(const Plan& p, int slice, int warp) {
  const int first = slice * p.slice_units;
  const int count = min(p.slice_units, p.call.linear.num_units - first);
  return {first + warp * count / kWarps, first + (warp + 1) * count / kWarps};
}

// Walks over a warp's units in the order in which they are summed, a stage of the ring at a time: tile by
// tile, or, where rows come in slices, group of kTiles tiles by group, slice by slice, tile by tile.
template <class Unit, int kTiles, bool kIsSliced>
class StageCursor {
 public:
  __device__ StageCursor(const Plan& plan, int first_tile, int end_tile, int warp)
      : p_(plan),
        tile_(first_tile),
        end_(end_tile),
        group_(first_tile),
        warp_(warp),
        run_(RunOf(plan, 0, warp)) {
    Enter();
    if (run_.begin == run_.end) NextTile();
  }
  __device__ bool done() const { return tile_ >= end_; }
  __device__ const uint8_t* units() const { return units_; }
  __device__ int bytes() const { return min(Unit::kStageUnits, left_) * Unit::kBytes; }
  __device__ void Advance() {
    left_ -= Unit::kStageUnits;
    units_ += Unit::kStageUnits * Unit::kBytes;
    if (left_ <= 0) NextTile();
  }

 private:
  __device__ int64_t tile_bytes() const { return int64_t{p_.call.linear.num_units} * Unit::kBytes; }
  __device__ void Enter() {
    left_ = run_.end - run_.begin;
    units_ = run_units_ = p_.call.linear.units + tile_ * tile_bytes() + run_.begin * Unit::kBytes;
  }
  // To the next tile where this warp has units.
  __device__ void NextTile() {
    if constexpr (!kIsSliced) {
      tile_ = run_.begin == run_.end ? end_ : tile_ + 1;
      left_ = run_.end - run_.begin;
      run_units_ += tile_bytes();
      units_ = run_units_;
    } else {
      do {
        if (++tile_ >= min(group_ + kTiles, end_)) {
          if (++slice_ >= p_.num_slices) {
            slice_ = 0;
            group_ += kTiles;
          }
          tile_ = group_;
          run_ = RunOf(p_, slice_, warp_);
        }
      } while (run_.begin == run_.end && tile_ < end_);
      Enter();
    }
  }
  const Plan& p_;
  int tile_, end_, group_, warp_, slice_ = 0, left_ = 0;
  Run run_;
  const uint8_t *units_ = nullptr, *run_units_ = nullptr;  // the next stage; the first of the tile
};

// Eight 4-bit values of two outputs and four inputs into the registers of an mma, as BF16 patterns: sign at
// bit 15, exponent and mantissa at bits 8..6 of each half, which is 2^-126 of the value, subnormals included.
// PlaceCode in pack_units.cu is the other direction; no dealing of the bits was found that takes fewer
// operations.
__device__ __forceinline__ void Unpack(uint32_t w, uint32_t (&a)[4]) {
  constexpr uint32_t kPattern = 0x81C081C0u, kLowest = 0x00400040u;
  a[0] = w & kPattern;
  a[1] = w << 6 & kPattern;
  a[2] = __funnelshift_l(w, w, 10) & kPattern;
  a[3] = (w << 4 & (kPattern & ~kLowest)) | (w >> 4 & kLowest);
}

// A block scale times 2^118, in both halves. The product with a pattern is 2^-8 of the weight, exactly.
__device__ __forceinline__ uint32_t ScalePair(uint32_t scale) {
  return scale * 0x00100010u + 0x72007200u;
}

// The registers of mma `step` (0..3) of the unit at `unit`.
struct FourBitUnit {
  static constexpr int kBytes = kFourBitUnitBytes, kStageUnits = 4;
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
  static constexpr int kBytes = kBf16UnitBytes, kStageUnits = 1;
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
__device__ void LoadRows(const Plan& p, const BlockRows& mine, int first, uint4* rows) {
  constexpr int kInFlight = kTokenTiles == 1 ? 4 : 8;
  const int chunks = min(p.held_units, p.call.linear.num_units - first) * (kUnitInputs / 8);
  const int row_chunks = p.call.x_stride / 8, total = chunks * mine.count;
  const auto* from =
      reinterpret_cast<const uint4*>(p.call.x) + int64_t{mine.first} * row_chunks + first * (kUnitInputs / 8);
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

// Where a lane finds its inputs: 16 bytes for each half of a unit, at token tile 0. Lanes of rows that do not
// exist read the same zeros again and again.
struct Inputs {
  const uint4* at;
  int half_step;  // in 16 bytes
};
template <int kTokenTiles>
__device__ __forceinline__ Inputs InputsOf(const Plan& p, int num_rows, const uint4* rows, const uint4* zeros,
                                           int tile, int lane) {
  if (tile * kTokens + lane / 4 >= num_rows) return {zeros, 0};
  return {rows + RowPlace<kTokenTiles>(0, tile, 0, lane / 4, lane % 4, p.log_tokens),
          kTokenTiles == 1 ? 4 << p.log_tokens : 4 * kTokens};
}

// Adds one unit of a tile to the sums of all token tiles. `unit` counts from the first one held.
template <class Unit, int kTokenTiles>
__device__ __forceinline__ void MultiplyUnit(const uint8_t* weights, const Inputs (&inputs)[kTokenTiles],
                                             int unit, int lane, float (&sums)[kTokenTiles][4]) {
  const Unit w(weights, lane);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint32_t a0[4], a1[4];
    w.Load(2 * half, a0);
    w.Load(2 * half + 1, a1);
#pragma unroll
    for (int tile = 0; tile < kTokenTiles; ++tile) {
      const int step = unit * 2 * kTokenTiles + half;
      const uint4 b = inputs[tile].at[step * inputs[tile].half_step];
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

// `first_row`: of the token tile.
__device__ __forceinline__ void StoreTile(const LinearCall& c, const float* partial, const Factors& factors,
                                          int tile, int first_row) {
  const Output o = MyOutput();
  const int row = first_row + o.token;
  if (row >= c.num_rows) return;  // whole warps: two a token
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
                                           float* values, int tile, int first_row) {
  const Output o = MyOutput();
  const int row = first_row + o.token;
  const float* sums = partial + o.i / 8 * kWarps * kTileSums;
  const float gate = Finish(gate_factors, SumWarps(sums, o.i % 8, o));
  const float up = Finish(up_factors, SumWarps(sums, o.i % 8 + 8, o));
  const int output = tile * 8 + o.i;
  const bool exists = row < c.num_rows && output < c.linear.pair_outputs;
  const float y = exists ? RoundForConsumer(gate / (1.0f + expf(-gate)) * up, output, c.form) : 0.0f;
  float stored[1] = {y};
  if (c.form.is_nvfp4) {
    if (o.quarter == 0) values[o.token * kTileOutputs + o.i] = y;
    __syncthreads();
    float amax = 0;
    for (int j = o.quarter; j < kTileOutputs; j += 4)
      amax = fmaxf(amax, fabsf(values[o.token * kTileOutputs + j]));
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, 1));
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, 2));
    QuantizePartOfBlock(stored, amax, c.form.inverse_scale);
  }
  if (exists && o.quarter == 0)
    static_cast<uint16_t*>(c.out)[int64_t{row} * c.out_stride + output] = BFloat16::Encode(stored[0]).bits;
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
  float* values = partial + 2 * kPartial;                      // [128], of a gated tile
  auto* zeros = reinterpret_cast<uint4*>(values + kTileSums);  // one
  auto* barriers = reinterpret_cast<uint64_t*>(zeros + 1);
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes,
            lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const LinearView& v = p.call.linear;
  const BlockRows mine = RowsOfBlock(p);

  // This block's tiles; those of a gated pair stay together.
  constexpr int kGranule = kTiles == 2 ? 2 : 1;
  const int64_t granules = v.num_tiles / kGranule;
  const int first_tile = kGranule * static_cast<int>(blockIdx.y * granules / gridDim.y);
  const int end_tile = kGranule * static_cast<int>((blockIdx.y + 1) * granules / gridDim.y);

  constexpr int kStageBytes = Unit::kStageUnits * Unit::kBytes;
  UnitRing<kStageBytes> ring(rings + warp * p.stages * kStageBytes, barriers + warp * p.stages, p.stages,
                             lane);
  StageCursor<Unit, kTiles, kIsSliced> ahead(p, first_tile, end_tile, warp);
  const auto fill = [&] {
    if (ahead.done()) return;
    ring.Fill(ahead.units(), ahead.bytes());
    ahead.Advance();
  };
  for (int s = 0; s + 1 < p.stages; ++s) fill();
  LetNextBegin();
  if (threadIdx.x == 0) *zeros = uint4{};
  WaitForPrevious();
  const bool holds_all = !kIsSliced || p.held_units == v.num_units;
  if (holds_all) {
    LoadRows<kTokenTiles>(p, mine, 0, rows);
    __syncthreads();
  }

  Inputs inputs[kTokenTiles];
#pragma unroll
  for (int i = 0; i < kTokenTiles; ++i)
    inputs[i] = InputsOf<kTokenTiles>(p, mine.count, rows, zeros, i, lane);

  int buffer = 0;
  const Output o = MyOutput();
  for (int tile = first_tile; tile < end_tile; tile += kTiles) {
    const int num_tiles = min(kTiles, end_tile - tile);
    const auto load_factors = [&](int r, int token_tile) {
      const int my_row = mine.first + token_tile * kTokens + o.token;
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
        LoadRows<kTokenTiles>(p, mine, first_held, rows);
        __syncthreads();
      }
      const Run run = RunOf(p, slice, warp);
#pragma unroll
      for (int r = 0; r < kTiles; ++r) {
        if (r >= num_tiles) break;
        for (int unit = run.begin; unit < run.end; unit += Unit::kStageUnits) {
          const uint8_t* weights = ring.Wait();
          __syncwarp();
          fill();  // into the stage read before this one
#pragma unroll
          for (int i = 0; i < Unit::kStageUnits; ++i) {
            if (unit + i >= run.end) break;
            MultiplyUnit<Unit, kTokenTiles>(weights + i * Unit::kBytes, inputs, unit + i - first_held, lane,
                                            sums[r]);
          }
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kTiles; r += kPartialTiles) {
      if (r >= num_tiles) break;
#pragma unroll
      for (int token_tile = 0; token_tile < kTokenTiles; ++token_tile) {
        const int first_row = mine.first + token_tile * kTokens;
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
          StoreGated(p.call, to, factors[0], factors[kTiles - 1], values, tile, first_row);
        } else {
          StoreTile(p.call, to, factors[r], tile + r, first_row);
        }
      }
    }
  }
}

}  // namespace fourstep::cuda
