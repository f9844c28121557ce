#include <cstring>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/linear_view.h"

namespace fourstep::cuda {
namespace {

constexpr int kThreads = 256;

// What one thread packs: the 16 inputs of two outputs that a lane has in a unit.
struct UnitLane {
  int64_t unit;  // of all tiles
  int lane;
  int32_t row;          // the packed row of the first output; the other is 8 below
  int64_t first_input;  // may be beyond the last

  __device__ explicit UnitLane(const LinearView& v) {
    const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
    unit = index / kWarpLanes;
    lane = static_cast<int>(index % kWarpLanes);
    row = static_cast<int32_t>(unit / v.num_units) * kTileOutputs + lane / 4;
    first_input = unit % v.num_units * kUnitInputs + 16 * (lane % 4);
  }
  __device__ bool exists(const LinearView& v) const { return unit < int64_t{v.num_tiles} * v.num_units; }
  // In the order of the stack; -1: padding.
  __device__ int64_t Output(const LinearView& v, int half) const { return OutputOfRow(v, row + 8 * half); }
};

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

// codes [n, k / 2] and scales [n, k / 16] in the order of the stack.
__global__ void PackFourBitKernel(LinearView v, const uint8_t* codes, const uint8_t* scales, uint8_t* units) {
  const UnitLane at(v);
  if (!at.exists(v)) return;
  uint8_t* out = units + at.unit * kFourBitUnitBytes;
  uint32_t words[4] = {};
  uint8_t lane_scales[2] = {};
  for (int half = 0; half < 2; ++half) {
    const int64_t output = at.Output(v, half);
    if (output < 0 || at.first_input >= v.k) continue;
    lane_scales[half] = scales[output * (v.k / 16) + at.first_input / 16];
    for (int i = 0; i < 16; ++i) {
      const int64_t input = at.first_input + i;
      const uint32_t code = codes[output * (v.k / 2) + input / 2] >> (4 * (input % 2)) & 0xFu;
      // Inputs 4 s .. 4 s + 3 are those of mma s: registers `half` and 2 + half, two inputs each.
      words[i / 4] |= PlaceCode((i % 4 / 2) * 2 + half, i % 2, code);
    }
  }
  std::memcpy(out + 16 * at.lane, words, sizeof words);
  std::memcpy(out + kFourBitScaleOffset + 2 * at.lane, lane_scales, sizeof lane_scales);
}

// Deals the bits of an E4M3 value as UnpackFp8 expects them: of its first or second register, in its low (0)
// or high (1) half.
__device__ uint32_t PlaceFp8(bool is_second, int half, uint32_t code) {
  const uint32_t sign = code >> 7, magnitude = code & 0x7Fu;
  const uint32_t bits =
      is_second ? sign << 11 | magnitude >> 4 << 12 | (magnitude & 0xFu) : sign << 15 | magnitude << 4;
  return bits << 16 * half;
}

// values [n, k] E4M3 in the order of the stack.
__global__ void PackFp8Kernel(LinearView v, const uint8_t* values, uint8_t* units) {
  const UnitLane at(v);
  if (!at.exists(v)) return;
  uint32_t words[4][2] = {};  // of each mma, for outputs g and g + 8
  for (int half = 0; half < 2; ++half) {
    const int64_t output = at.Output(v, half);
    for (int i = 0; i < 16; ++i) {
      const int64_t input = at.first_input + i;
      // Inputs 4 s .. 4 s + 3 are those of mma s: registers `half` and 2 + half, two inputs each.
      if (output >= 0 && input < v.k)
        words[i / 4][half] |= PlaceFp8(i % 4 / 2 == 1, i % 2, values[output * v.k + input]);
    }
  }
  uint8_t* out = units + at.unit * kFp8UnitBytes;
  for (int step = 0; step < 4; ++step)
    std::memcpy(out + 8 * (step * kWarpLanes + at.lane), words[step], sizeof words[step]);
}

// values [n, k] BF16 in the order of the stack.
__global__ void PackBf16Kernel(LinearView v, const uint16_t* values, uint8_t* units) {
  const UnitLane at(v);
  if (!at.exists(v)) return;
  auto* out = reinterpret_cast<uint16_t*>(units + at.unit * kBf16UnitBytes);
  for (int half = 0; half < 2; ++half) {
    const int64_t output = at.Output(v, half);
    for (int i = 0; i < 16; ++i) {
      const int64_t input = at.first_input + i;
      const int reg = (i % 4 / 2) * 2 + half;
      out[((i / 4 * kWarpLanes + at.lane) * 4 + reg) * 2 + i % 2] =
          output >= 0 && input < v.k ? values[output * v.k + input] : uint16_t{0};
    }
  }
}

int NumBlocks(const LinearView& view) {
  const int64_t num_lanes = int64_t{view.num_tiles} * view.num_units * kWarpLanes;
  return static_cast<int>((num_lanes + kThreads - 1) / kThreads);
}

}  // namespace

void PackFourBitUnits(const LinearView& view, const uint8_t* codes, const uint8_t* scales, uint8_t* units) {
  PackFourBitKernel<<<NumBlocks(view), kThreads>>>(view, codes, scales, units);
  FOURSTEP_CUDA(cudaGetLastError());
}

void PackFp8Units(const LinearView& view, const uint8_t* values, uint8_t* units) {
  PackFp8Kernel<<<NumBlocks(view), kThreads>>>(view, values, units);
  FOURSTEP_CUDA(cudaGetLastError());
}

void PackBf16Units(const LinearView& view, const uint16_t* values, uint8_t* units) {
  PackBf16Kernel<<<NumBlocks(view), kThreads>>>(view, values, units);
  FOURSTEP_CUDA(cudaGetLastError());
}

}  // namespace fourstep::cuda
