// The formats of the cache that kernels are compiled for: what a value becomes, where it lies, and how codes
// become the BF16 that tensor cores take.
#pragma once

#include <cstdint>

#include "cuda/attention.h"
#include "cuda/kernel_util.cuh"
#include "formats/bfloat16.h"
#include "formats/e4m3.h"

namespace fourstep::cuda {

// Indices are within a position's key [padded_dim] and within the values of a group, as attention.h has them.
struct Bf16Cache {
  using Value = uint16_t;
  static constexpr bool kIsFp8 = false;
  __device__ static Value Encode(float x, float) { return BFloat16::Encode(x).bits; }
  __device__ static Value FromBf16(uint16_t bits, float) { return bits; }
  __device__ static int KeyIndex(int dim) { return dim; }
  __device__ static int ValueIndex(int dim, int position) { return dim * kGroupTokens + position; }
};

// Four neighbours lie in a word in the order 0, 2, 1, 3, so that its even and its odd bytes are pairs.
struct Fp8Cache {
  using Value = uint8_t;
  static constexpr bool kIsFp8 = true;
  __device__ static Value Encode(float x, float scale) { return EncodeE4M3(x / scale); }
  __device__ static Value FromBf16(uint16_t bits, float scale) {
    return Encode(BFloat16::Decode({bits}), scale);
  }
  __device__ static int PlaceInWord(int i) { return (i & 1) << 1 | i >> 1; }
  __device__ static int KeyIndex(int dim) { return (dim & ~3) | PlaceInWord(dim & 3); }
  // [32 dimensions: 8][16 positions: 4][dimensions 8 apart: 4][positions: 4]: a lane's 16 bytes are together.
  __device__ static int ValueIndex(int dim, int position) {
    return ((dim / 32 * 8 + dim % 8) * 4 + position / 4) * 16 + dim / 8 % 4 * 4 + PlaceInWord(position % 4);
  }
};

// Selects the codes of the first `count` of a word's four neighbours.
__device__ __forceinline__ uint32_t MaskOfFirst(int count) {
  if (count >= 4) return ~0u;
  return count == 3 ? 0x00FFFFFFu : count == 2 ? 0x00FF00FFu : count == 1 ? 0xFFu : 0u;
}

// Whether one of eight codes is NaN: only there does adding 1 to the magnitude reach the sign.
__device__ __forceinline__ bool HasNan(uint2 codes) {
  constexpr uint32_t kOnes = 0x01010101u;
  return ((((codes.x + kOnes) ^ codes.x) | ((codes.y + kOnes) ^ codes.y)) & 0x80808080u) != 0;
}

// The upper bytes of two halves, as BF16: the bits move into place, the factor makes up for the exponent's
// bias.
__device__ __forceinline__ uint32_t PairOfCodes(uint32_t codes, uint32_t factor) {
  return MultiplyPair((codes & 0x80008000u) | (codes >> 4 & 0x07F007F0u), factor);
}

// Eight neighbours to BF16, exactly, in their order. Where one of them is NaN all become NaN: to look at each
// would cost as much as the rest.
__device__ __forceinline__ uint4 DecodeE4M3(uint2 codes) {
  constexpr uint32_t kTwoTo120 = 0x7B807B80u, kNan = 0x7FC07FC0u;
  const uint32_t factor = HasNan(codes) ? kNan : kTwoTo120;
  return {PairOfCodes(codes.x << 8, factor), PairOfCodes(codes.x, factor), PairOfCodes(codes.y << 8, factor),
          PairOfCodes(codes.y, factor)};
}

// The cache's memory as a format has it.
template <class Cache>
__device__ __forceinline__ typename Cache::Value* KeysOf(const CacheView& c) {
  return static_cast<typename Cache::Value*>(c.k);
}
template <class Cache>
__device__ __forceinline__ typename Cache::Value* ValuesOf(const CacheView& c) {
  return static_cast<typename Cache::Value*>(c.v);
}

// What scores are multiplied by before they become powers of 2.
template <class Cache>
__device__ __forceinline__ float ScoreScale(const CacheView& c) {
  const float scale = 1.4426950408889634f / sqrtf(static_cast<float>(c.head_dim));
  return Cache::kIsFp8 ? scale * c.k_scale : scale;
}

}  // namespace fourstep::cuda
