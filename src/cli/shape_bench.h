// `fourstep bench decode --shape`: decode steps of a published model's size on random weights, no files
// needed.
#pragma once

#include <string>
#include <vector>

#include "cli/shape_decoder.h"

namespace fourstep::cli {

struct ShapeBenchOptions : StepBenchOptions {
  std::vector<std::string> policies = {"reset"};
};

// Throws Error for bad options; std::runtime_error where a sequence's tokens depend on the batch.
void RunShapeBench(const ShapeBenchOptions& options);

}  // namespace fourstep::cli
