// What device code of src/cuda uses of CUDA, for the host: a block is run by as many threads as it has, so
// that its algorithm can be tested where no GPU is. Slow, and blind to what only a GPU does: memory order
// within a warp, limits.
#pragma once

#include <atomic>
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#define __device__
#define __forceinline__ inline

using cudaStream_t = void*;
struct float2 {
  float x, y;
};
struct uint2 {
  unsigned x, y;
};
struct uint4 {
  unsigned x, y, z, w;
};

struct HostIndex {
  unsigned x = 0, y = 0, z = 0;
};
inline thread_local HostIndex threadIdx;
inline HostIndex blockDim;

namespace cuda_on_host {

constexpr int kWarp = 32;
struct Block {
  explicit Block(int threads) : all(threads), exchanged(static_cast<size_t>(threads)) {
    for (int i = 0; i < threads / kWarp; ++i) warps.push_back(std::make_unique<std::barrier<>>(kWarp));
  }
  std::barrier<> all;
  std::vector<std::unique_ptr<std::barrier<>>> warps;
  std::vector<uint64_t> exchanged;
};
inline Block* block;

// Each thread of the block calls `program`. `threads`: a multiple of 32.
inline void RunBlock(int threads, const std::function<void()>& program) {
  Block mine(threads);
  block = &mine;
  blockDim.x = static_cast<unsigned>(threads);
  std::vector<std::jthread> running;
  for (int i = 0; i < threads; ++i)
    running.emplace_back([&program, i] {
      threadIdx.x = static_cast<unsigned>(i);
      program();
    });
}

inline void MeetWarp() {
  block->warps[threadIdx.x / kWarp]->arrive_and_wait();
}

// What lane `source` gave.
template <class T>
T Exchange(T value, unsigned source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  block->exchanged[threadIdx.x] = bits;
  MeetWarp();
  bits = block->exchanged[threadIdx.x / kWarp * kWarp + source];
  MeetWarp();
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace cuda_on_host

inline void __syncthreads() {
  cuda_on_host::block->all.arrive_and_wait();
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return cuda_on_host::Exchange(value, static_cast<unsigned>(lane));
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return cuda_on_host::Exchange(value, threadIdx.x % 32 ^ static_cast<unsigned>(mask));
}
template <class T>
T __shfl_up_sync(unsigned, T value, int distance) {
  const unsigned lane = threadIdx.x % 32, down = static_cast<unsigned>(distance);
  return cuda_on_host::Exchange(value, lane >= down ? lane - down : lane);
}
inline unsigned __ballot_sync(unsigned, bool vote) {
  unsigned votes = 0;
  for (int lane = 0; lane < 32; ++lane) votes |= (__shfl_sync(0, vote, lane) ? 1u : 0u) << lane;
  return votes;
}
template <class T, class U>
T atomicAdd(T* at, U value) {
  return std::atomic_ref<T>(*at).fetch_add(static_cast<T>(value));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
// Byte i of the result is byte `selector` bits 4 i .. 4 i + 2 of x (0 .. 3) and y (4 .. 7).
inline uint32_t __byte_perm(uint32_t x, uint32_t y, uint32_t selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  uint32_t result = 0;
  for (uint32_t i = 0; i < 4; ++i)
    result |= static_cast<uint32_t>(bytes >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i;
  return result;
}
inline uint32_t __float_as_uint(float x) {
  return std::bit_cast<uint32_t>(x);
}
inline float __uint_as_float(uint32_t x) {
  return std::bit_cast<float>(x);
}
inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
}
template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
  return a < b ? b : a;
}
