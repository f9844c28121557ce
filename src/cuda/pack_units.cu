#include <cstring>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/linear_view.h"

namespace fourstep::cuda {
namespace {

// Deals the bits of a code as Unpack expects them: of register `i` of a word, in its low (0) or high (1)
// half.
__device__ uint32_t PlaceCode(int i, int half, uint32_t code) {
  const uint32_t sign = code >> 3, magnitude = code & 7u;
  const int base = 16 * half;
  switch (i) {
    case 0:
      return (sign << 15 | magnitude << 6) << base;
    case 1:
      return (sign << 9 | magnitude) << base;
    case 2:  // a rotation brings the magnitude over from the other half
      return sign << (base + 5) | magnitude << (28 - base);
    default:
      return (sign << 11 | (magnitude & 1u) << 10 | magnitude >> 1 << 3) << base;
  }
}

// One thread a lane of a unit. codes [n, k / 2] and scales [n, k / 16] in the order of the stack.
__global__ void PackFourBitKernel(LinearView v, const uint8_t* codes, const uint8_t* scales, uint8_t* units) {
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const int64_t unit_index = index / kWarpLanes;
  if (unit_index >= int64_t{v.num_tiles} * v.num_units) return;
  const int lane = static_cast<int>(index % kWarpLanes), g = lane / 4, t = lane % 4;
  const int64_t tile = unit_index / v.num_units, unit = unit_index % v.num_units;
  const int64_t first_input = unit * kUnitInputs + 16 * t;
  uint8_t* out = units + unit_index * kFourBitUnitBytes;
  uint32_t words[4] = {};
  uint8_t lane_scales[2] = {};
  for (int half = 0; half < 2; ++half) {
    const int64_t row = OutputOfRow(v, static_cast<int32_t>(tile) * kTileOutputs + g + 8 * half);
    if (row < 0 || first_input >= v.k) continue;
    lane_scales[half] = scales[row * (v.k / 16) + first_input / 16];
    for (int i = 0; i < 16; ++i) {
      const int64_t input = first_input + i;
      const uint32_t code = codes[row * (v.k / 2) + input / 2] >> (4 * (input % 2)) & 0xFu;
      // Inputs 4 s .. 4 s + 3 are those of mma s: registers `half` and 2 + half, two inputs each.
      words[i / 4] |= PlaceCode((i % 4 / 2) * 2 + half, i % 2, code);
    }
  }
  std::memcpy(out + 16 * lane, words, sizeof words);
  std::memcpy(out + kFourBitScaleOffset + 2 * lane, lane_scales, sizeof lane_scales);
}

// Deals the bits of an E4M3 value as UnpackFp8 expects them: of its first or second register, in its low (0)
// or high (1) half.
__device__ uint32_t PlaceFp8(bool is_second, int half, uint32_t code) {
  const uint32_t sign = code >> 7, magnitude = code & 0x7Fu;
  const uint32_t bits =
      is_second ? sign << 11 | magnitude >> 4 << 12 | (magnitude & 0xFu) : sign << 15 | magnitude << 4;
  return bits << 16 * half;
}

// One thread a lane of a unit. values [n, k] E4M3 in the order of the stack.
__global__ void PackFp8Kernel(LinearView v, const uint8_t* values, uint8_t* units) {
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const int64_t unit_index = index / kWarpLanes;
  if (unit_index >= int64_t{v.num_tiles} * v.num_units) return;
  const int lane = static_cast<int>(index % kWarpLanes), g = lane / 4, t = lane % 4;
  const int64_t tile = unit_index / v.num_units, unit = unit_index % v.num_units;
  uint32_t words[4][2] = {};  // of each mma, for outputs g and g + 8
  for (int half = 0; half < 2; ++half) {
    const int64_t row = OutputOfRow(v, static_cast<int32_t>(tile) * kTileOutputs + g + 8 * half);
    for (int i = 0; i < 16; ++i) {
      const int64_t input = unit * kUnitInputs + 16 * t + i;
      // Inputs 4 s .. 4 s + 3 are those of mma s: registers `half` and 2 + half, two inputs each.
      if (row >= 0 && input < v.k)
        words[i / 4][half] |= PlaceFp8(i % 4 / 2 == 1, i % 2, values[row * v.k + input]);
    }
  }
  uint8_t* out = units + unit_index * kFp8UnitBytes;
  for (int step = 0; step < 4; ++step)
    std::memcpy(out + 8 * (step * kWarpLanes + lane), words[step], sizeof words[step]);
}

// One thread a lane of a unit. values [n, k] BF16 in the order of the stack.
__global__ void PackBf16Kernel(LinearView v, const uint16_t* values, uint8_t* units) {
  const int64_t index = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const int64_t unit_index = index / kWarpLanes;
  if (unit_index >= int64_t{v.num_tiles} * v.num_units) return;
  const int lane = static_cast<int>(index % kWarpLanes), g = lane / 4, t = lane % 4;
  const int64_t tile = unit_index / v.num_units, unit = unit_index % v.num_units;
  auto* out = reinterpret_cast<uint16_t*>(units + unit_index * kBf16UnitBytes);
  for (int half = 0; half < 2; ++half) {
    const int64_t row = OutputOfRow(v, static_cast<int32_t>(tile) * kTileOutputs + g + 8 * half);
    for (int i = 0; i < 16; ++i) {
      const int64_t input = unit * kUnitInputs + 16 * t + i;
      const int reg = (i % 4 / 2) * 2 + half;
      out[((i / 4 * kWarpLanes + lane) * 4 + reg) * 2 + i % 2] =
          row >= 0 && input < v.k ? values[row * v.k + input] : uint16_t{0};
    }
  }
}

int Blocks(int64_t threads) {
  return static_cast<int>((threads + 255) / 256);
}

}  // namespace

void PackFourBitUnits(const LinearView& view, const uint8_t* codes, const uint8_t* scales, uint8_t* units) {
  const int64_t threads = int64_t{view.num_tiles} * view.num_units * kWarpLanes;
  PackFourBitKernel<<<Blocks(threads), 256>>>(view, codes, scales, units);
  FOURSTEP_CUDA(cudaGetLastError());
}

void PackFp8Units(const LinearView& view, const uint8_t* values, uint8_t* units) {
  const int64_t threads = int64_t{view.num_tiles} * view.num_units * kWarpLanes;
  PackFp8Kernel<<<Blocks(threads), 256>>>(view, values, units);
  FOURSTEP_CUDA(cudaGetLastError());
}

void PackBf16Units(const LinearView& view, const uint16_t* values, uint8_t* units) {
  const int64_t threads = int64_t{view.num_tiles} * view.num_units * kWarpLanes;
  PackBf16Kernel<<<Blocks(threads), 256>>>(view, values, units);
  FOURSTEP_CUDA(cudaGetLastError());
}

}  // namespace fourstep::cuda
