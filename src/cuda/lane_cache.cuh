// What a lane holds of a group's keys and values for the tensor cores, in the format of the cache.
#pragma once

#include <cstdint>

#include "cuda/cache_format.cuh"

namespace fourstep::cuda {

// Of rows 4 (g / 2) + 2 j + g % 2 of the keys [16, kDims], j = 0, 1: dimensions 64 (i / 2) + 16 t + 8 (i % 2)
// on, for i < kDims / 32, with lane = 4 g + t.
template <class Cache, int kDims>
class LaneKeys;

template <int kDims>
class LaneKeys<Bf16Cache, kDims> {
 public:
  // With kSwaps, each two chunks of 8 dimensions of every second row have changed places.
  template <bool kSwaps>
  __device__ __forceinline__ void Load(const uint16_t* k, int lane) {
    const int g = lane / 4, t = lane % 4, swap = kSwaps ? g % 2 : 0;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const uint16_t* row = k + (g / 2 * 4 + 2 * j + g % 2) * kDims + 16 * t;
#pragma unroll
      for (int i = 0; i < kDims / 32; ++i)
        keys_[j][i] = *reinterpret_cast<const uint4*>(row + i / 2 * 64 + (i % 2 ^ swap) * 8);
    }
  }
  // The key of one position of the group becomes `key` [kDims].
  __device__ __forceinline__ void Replace(int position, const uint16_t* key, int lane) {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      if (g / 2 * 4 + 2 * j + g % 2 != position) continue;
#pragma unroll
      for (int i = 0; i < kDims / 32; ++i)
        keys_[j][i] = *reinterpret_cast<const uint4*>(key + 16 * t + i / 2 * 64 + i % 2 * 8);
    }
  }
  __device__ __forceinline__ const uint4& At(int j, int i) const {
    return keys_[j][i];
  }

 private:
  uint4 keys_[2][kDims / 32];
};

template <int kDims>
class LaneKeys<Fp8Cache, kDims> {
 public:
  template <bool kSwaps>
  __device__ __forceinline__ void Load(const uint8_t* k, int lane) {
    static_assert(!kSwaps);
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const uint8_t* row = k + (g / 2 * 4 + 2 * j + g % 2) * kDims + 16 * t;
#pragma unroll
      for (int i = 0; i < kDims / 64; ++i) codes_[j][i] = *reinterpret_cast<const uint4*>(row + i * 64);
    }
  }
  __device__ __forceinline__ void Replace(int position, const uint8_t* key, int lane) {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      if (g / 2 * 4 + 2 * j + g % 2 != position) continue;
#pragma unroll
      for (int i = 0; i < kDims / 64; ++i)
        codes_[j][i] = *reinterpret_cast<const uint4*>(key + 16 * t + i * 64);
    }
  }
  __device__ __forceinline__ uint4 At(int j, int i) const {
    const uint4& codes = codes_[j][i / 2];
    return DecodeE4M3(i % 2 == 0 ? uint2{codes.x, codes.y} : uint2{codes.z, codes.w});
  }

 private:
  uint4 codes_[2][kDims / 64];
};

// Of the values of kSumDims dimensions: of dimensions 8 tile + g, positions 4 t .. 4 t + 3.
template <class Cache, int kSumDims>
class LaneValues;

template <int kSumDims>
class LaneValues<Bf16Cache, kSumDims> {
 public:
  // `first_dim` is the first of the dimensions.
  __device__ __forceinline__ void Load(const uint16_t* v, int first_dim, int lane) {
    const int g = lane / 4, t = lane % 4;
    const uint16_t* mine = v + (first_dim + g) * kGroupTokens + 4 * t;
#pragma unroll
    for (int tile = 0; tile < kSumDims / 8; ++tile)
      values_[tile] = *reinterpret_cast<const uint2*>(mine + 8 * tile * kGroupTokens);
  }
  // What was never written must not count, not even as 0 times NaN: zero from position num_valid on.
  __device__ __forceinline__ void Mask(int num_valid, int lane) {
    const int rest = num_valid - 4 * (lane % 4);  // of this lane's four positions
    const uint32_t mask0 = rest >= 2 ? ~0u : rest == 1 ? 0xFFFFu : 0u;
    const uint32_t mask1 = rest >= 4 ? ~0u : rest == 3 ? 0xFFFFu : 0u;
#pragma unroll
    for (uint2& values : values_) values = {values.x & mask0, values.y & mask1};
  }
  // The value of one position becomes `value` [all dimensions].
  __device__ __forceinline__ void Replace(int position, const uint16_t* value, int first_dim, int lane) {
    if (position / 4 != lane % 4) return;
    const uint32_t bytes = position % 2 == 0 ? 0x3254 : 0x5410;  // that __byte_perm takes
#pragma unroll
    for (int tile = 0; tile < kSumDims / 8; ++tile) {
      const uint32_t bits = value[first_dim + 8 * tile + lane / 4];
      uint2& values = values_[tile];
      if (position % 4 < 2) {
        values.x = __byte_perm(values.x, bits, bytes);
      } else {
        values.y = __byte_perm(values.y, bits, bytes);
      }
    }
  }
  __device__ __forceinline__ void Get(uint2 (&values)[kSumDims / 8]) const {
#pragma unroll
    for (int tile = 0; tile < kSumDims / 8; ++tile) values[tile] = values_[tile];
  }

 private:
  uint2 values_[kSumDims / 8];
};

template <int kSumDims>
class LaneValues<Fp8Cache, kSumDims> {
 public:
  static_assert(kSumDims % 32 == 0);
  __device__ __forceinline__ void Load(const uint8_t* v, int first_dim, int lane) {
    const uint8_t* mine = v + first_dim * kGroupTokens + lane * 16;
#pragma unroll
    for (int i = 0; i < kSumDims / 32; ++i)
      codes_[i] = *reinterpret_cast<const uint4*>(mine + i * 32 * kGroupTokens);
  }
  __device__ __forceinline__ void Mask(int num_valid, int lane) {
    const uint32_t mask = MaskOfFirst(num_valid - 4 * (lane % 4));
#pragma unroll
    for (uint4& c : codes_) c = {c.x & mask, c.y & mask, c.z & mask, c.w & mask};
  }
  __device__ __forceinline__ void Replace(int position, const uint8_t* value, int first_dim, int lane) {
    if (position / 4 != lane % 4) return;
    const int shift = 8 * Fp8Cache::PlaceInWord(position % 4);
    const auto replace = [&](uint32_t& word, int dim) {
      word = (word & ~(0xFFu << shift)) | uint32_t{value[first_dim + dim + lane / 4]} << shift;
    };
#pragma unroll
    for (int i = 0; i < kSumDims / 32; ++i) {
      replace(codes_[i].x, 32 * i);
      replace(codes_[i].y, 32 * i + 8);
      replace(codes_[i].z, 32 * i + 16);
      replace(codes_[i].w, 32 * i + 24);
    }
  }
  __device__ __forceinline__ void Get(uint2 (&values)[kSumDims / 8]) const {
#pragma unroll
    for (int i = 0; i < kSumDims / 32; ++i) {
      const uint4 low = DecodeE4M3({codes_[i].x, codes_[i].y}), high = DecodeE4M3({codes_[i].z, codes_[i].w});
      values[4 * i] = {low.x, low.y};
      values[4 * i + 1] = {low.z, low.w};
      values[4 * i + 2] = {high.x, high.y};
      values[4 * i + 3] = {high.z, high.w};
    }
  }

 private:
  uint4 codes_[kSumDims / 32];  // each of four tiles
};

}  // namespace fourstep::cuda
