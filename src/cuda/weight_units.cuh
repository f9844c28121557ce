// Units of weights in shared memory, as the registers of tensor-core operations.
#pragma once

#include <cstdint>

#include "cuda/kernel_util.cuh"
#include "cuda/linear_view.h"

namespace fourstep::cuda {

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

// Four E4M3 values of one output into two registers of an mma, as BF16 patterns: sign at bit 15, exponent and
// mantissa at bits 10..4 of each half, which is 2^-120 of the value, subnormals included. One pair stands in
// its place, the bits of the other fill the gaps: PlaceFp8 in pack_units.cu is the other direction.
__device__ __forceinline__ void UnpackFp8(uint32_t w, uint32_t& first, uint32_t& second) {
  constexpr uint32_t kPattern = 0x87F087F0u, kHighest = 0x07000700u;
  first = w & kPattern;
  second = (w << 4 & (kPattern & ~kHighest)) | (w >> 4 & kHighest);
}

// The registers of mma `step` (0..3) of the unit at `unit`.
struct FourBitUnit {
  static constexpr bool kIsFourBit = true;
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
struct Fp8Unit {
  static constexpr bool kIsFourBit = false;
  static constexpr int kBytes = kFp8UnitBytes, kStageUnits = 2;
  const uint8_t* unit;
  int lane;
  __device__ Fp8Unit(const uint8_t* u, int l) : unit(u), lane(l) {}
  // The values themselves: sums of products with their patterns would be subnormal where inputs are small.
  __device__ void Load(int step, uint32_t (&a)[4]) const {
    constexpr uint32_t kPatternFactor = 0x7B807B80u;  // 2^120
    const uint2 w = *reinterpret_cast<const uint2*>(unit + 8 * (step * kWarpLanes + lane));
    UnpackFp8(w.x, a[0], a[2]);
    UnpackFp8(w.y, a[1], a[3]);
#pragma unroll
    for (uint32_t& pair : a) pair = MultiplyPair(pair, kPatternFactor);
  }
};
struct Bf16Unit {
  static constexpr bool kIsFourBit = false;
  static constexpr int kBytes = kBf16UnitBytes, kStageUnits = 1;
  const uint8_t* unit;
  int lane;
  __device__ Bf16Unit(const uint8_t* u, int l) : unit(u), lane(l) {}
  __device__ void Load(int step, uint32_t (&a)[4]) const {
    const uint4 w = *reinterpret_cast<const uint4*>(unit + 16 * (step * kWarpLanes + lane));
    a[0] = w.x, a[1] = w.y, a[2] = w.z, a[3] = w.w;
  }
};

}  // namespace fourstep::cuda
