// `fourstep bench decode --shape`: decode steps of a published model's size on random weights, no files
// needed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/token_record.h"

namespace fourstep::cli {

struct ShapeBenchOptions {
  std::string shape, backend = "cpu", cpu_path;
  std::vector<std::string> numerics = {"w4a4", "bf16"};
  std::vector<int32_t> batches = {1, 8};
  std::vector<std::string> policies = {"reset"};
  std::string head = "bf16";  // or "nvfp4"
  int32_t context_tokens = 1024, tokens = 64, repeats = 5;
  int32_t num_threads = 0;
  bool json = false;
};

// Throws Error for bad options; std::runtime_error where a sequence's tokens depend on the batch.
void RunShapeBench(const ShapeBenchOptions& options);

}  // namespace fourstep::cli
