// Weights in the order in which the kernels stream them: groups of 16 outputs, all k of a group together.
// kernels.h describes the layout within a group.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/numerics.h"
#include "base/thread_pool.h"
#include "cpu/kernels.h"
#include "cpu/mapped_memory.h"
#include "formats/linear_weight.h"

namespace fourstep::cpu {

enum class PackedForm { kFourBit, kFp8, kBf16 };

struct PackedWeight {
  int64_t n = 0, k = 0;  // as in the checkpoint
  int64_t num_groups = 0;
  int64_t padded_k = 0;  // a multiple of 4; with 4 bits k is one of 16 already
  PackedForm form = PackedForm::kBf16;
  BlockScaleFormat scale_format = BlockScaleFormat::kE4M3;
  MappedMemory<uint8_t> codes;   // [num_groups, k/16, 128], or FP8 [num_groups, padded_k, 16]
  MappedMemory<uint8_t> scales;  // [num_groups, k/16, 16]
  MappedMemory<uint16_t> dense;  // [num_groups, padded_k/2, 16, 2] BF16
  std::vector<float> alpha;      // [16 * num_groups] what the kernels' sums are multiplied by
  std::vector<float> bias;       // [16 * num_groups] zeros where the weight has none

  const uint8_t* group_codes(int64_t g) const { return codes.data() + g * (k / 16) * kBlockBytes; }
  const uint8_t* group_scales(int64_t g) const { return scales.data() + g * (k / 16) * 16; }
  const uint8_t* group_fp8(int64_t g) const { return codes.data() + g * padded_k * 16; }
  const uint16_t* group_dense(int64_t g) const { return dense.data() + g * padded_k * 16; }
  int64_t group_bytes() const {
    if (form == PackedForm::kFourBit) return k * 9;
    return padded_k * (form == PackedForm::kFp8 ? 16 : 32);
  }
};

// Of a checked weight (CheckStack).
PackedWeight PackWeight(const LinearWeight& weight, Numerics numerics, ThreadPool& threads);

}  // namespace fourstep::cpu
