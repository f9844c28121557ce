// Rotary frequencies from the rope settings of config.json.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "checkpoint/hf_config.h"

namespace fourstep {

// In fp32, in transformers' order of operations: an angle is a frequency times a position of up to 10^5, so
// that the last bits of a frequency are visible in the angle.
RopeTable MakeRopeTable(const RopeConfig& config, int64_t head_dim);

}  // namespace fourstep
