// The list of quantisation methods: how a weight's scales and codes are chosen.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "quantize/encoded_weight.h"

namespace fourstep {

struct QuantizeMethod {
  std::string_view name, summary;
  // The global scale of weights (those that share one) whose largest magnitude is `amax`: positive, with a
  // finite reciprocal.
  float (*global_scale)(float amax);
  EncodedWeight (*encode)(const LinearWeight& weight, float global_scale, int num_threads);
};

std::span<const QuantizeMethod> AllQuantizeMethods();

// Throws Error listing the names for another one.
const QuantizeMethod& FindQuantizeMethod(const std::string& name);

}  // namespace fourstep
