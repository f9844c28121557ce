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

}  // namespace fourstep::cuda
