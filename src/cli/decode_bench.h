// `fourstep bench decode MODEL`: prefill and decode of a checkpoint, by batch size.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/model_options.h"

namespace fourstep::cli {

struct DecodeBenchOptions {
  ModelOptions model;
  std::vector<int32_t> batches = {1, 2, 4, 8};
  int32_t prompt_tokens = 256, tokens = 64;
  bool json = false;
};

// Throws Error for bad options; std::runtime_error where a sequence's tokens depend on the batch.
void RunDecodeBench(DecodeBenchOptions options);

}  // namespace fourstep::cli
