// The linears of a decoder layer that become 4-bit, in the groups that share an input: each group has one
// weight scale and one input scale, because engines stack its weights into one product.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/hf_config.h"

namespace fourstep {

struct LinearGroup {
  struct Member {
    std::string module;  // "model.layers.0.self_attn.q_proj"
    int64_t n = 0;       // outputs
  };
  std::vector<Member> members;
  int64_t k = 0;  // inputs
};

// Per layer, in this order: q|k|v, o, gate|up, down.
std::vector<LinearGroup> LinearGroups(const HfConfig& config);

}  // namespace fourstep
