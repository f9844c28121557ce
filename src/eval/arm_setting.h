// One arm of a study, as people write it: NAME=POLICY,KEY=VALUE,...
//
//   reset=reset,t-low=0.3          low=fixed,temperature=0.1,numerics=bf16          other=model=/models/other
//
// Keys: policy (or its bare name), those of its parameters as the flags of `fourstep run` name them, top-p,
// top-k, min-p, and model, numerics, kv-cache and backend for an arm that differs in them.
#pragma once

#include <string>
#include <string_view>

#include "fourstep/engine.h"

namespace fourstep {

inline constexpr size_t kMaxArmNameBytes = 40;

struct ArmSetting {
  std::string name;
  std::string model = {}, numerics = {}, kv_cache = {}, backend = {};  // empty: those of the study
  Sampling sampling = {};  // its seed is the study's, never an arm's
};

// Throws Error naming the arm and the key: no NAME=, an unknown key or one that stands twice, a value out of
// range, a parameter of another policy.
ArmSetting ParseArm(std::string_view text);

}  // namespace fourstep
