// A linear's weights as the streaming kernels read them: tiles of 16 outputs, cut along the inputs into units
// of 64, each unit in the order in which the lanes of one warp feed it to the tensor cores.
//
// A unit of 4-bit weights has 512 bytes of codes and 64 bytes of block scales (4.5 bits a value, as in the
// checkpoint). Lane 4 g + t owns inputs 16 t .. 16 t + 15 of outputs g and g + 8: one block of each. Its
// codes are four words, one for each mma, whose bits are dealt so that nine integer operations give eight
// BF16 values (weight_units.cuh: Unpack); its two scales have 5 bits of exponent and 3 of mantissa, without
// subnormals. A unit of BF16 weights has 2048 bytes in the same order, one of FP8 weights 1024: two words for
// each mma, dealt likewise.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "base/host_device.h"

namespace fourstep::cuda {

inline constexpr int kTileOutputs = 16, kUnitInputs = 64;
inline constexpr int kFourBitUnitBytes = 576, kFourBitScaleOffset = 512, kFp8UnitBytes = 1024,
                     kBf16UnitBytes = 2048;

enum class UnitKind : int32_t { kFourBit, kFp8, kBf16 };

// What a kernel gets: plain data, pointers into device memory.
struct LinearView {
  const uint8_t* units;  // [num_tiles, num_units, unit bytes]
  const float* alpha;    // [num_tiles * 16]: what each output's sum is multiplied by
  const float* bias;     // [num_tiles * 16], or null
  int32_t n, k;          // outputs, inputs
  int32_t num_tiles, num_units;
  // Where the stack is two weights of as many outputs (gate | up): that number. Their rows then alternate by
  // eight in a tile, so that one lane holds a gate and its up. Otherwise 0.
  int32_t pair_outputs;
  UnitKind kind;

  int32_t unit_bytes() const {
    if (kind == UnitKind::kFourBit) return kFourBitUnitBytes;
    return kind == UnitKind::kFp8 ? kFp8UnitBytes : kBf16UnitBytes;
  }
};

// The stack's output that stands in packed row `row` (tile * 16 + row of the tile), or -1.
FOURSTEP_HD int32_t OutputOfRow(const LinearView& v, int32_t row) {
  if (v.pair_outputs == 0) return row < v.n ? row : -1;
  const int32_t output = row / kTileOutputs * 8 + row % 8;
  if (output >= v.pair_outputs) return -1;
  return output + (row % kTileOutputs < 8 ? 0 : v.pair_outputs);
}

// Writes view.units. Raw values on the device, in the order of the stack: codes [n, k / 2] with the even
// input in the low nibble and recoded scales [n, k / 16]; or E4M3 or BF16 [n, k].
void PackFourBitUnits(const LinearView& view, const uint8_t* codes, const uint8_t* scales, uint8_t* units);
void PackFp8Units(const LinearView& view, const uint8_t* values, uint8_t* units);
void PackBf16Units(const LinearView& view, const uint16_t* values, uint8_t* units);

}  // namespace fourstep::cuda
