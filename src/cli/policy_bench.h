// `fourstep bench policy`: what each decoding policy adds to a step, on random weights of a published shape.
#pragma once

#include "cli/shape_decoder.h"

namespace fourstep::cli {

// Throws Error for bad options; std::runtime_error where a sequence's tokens depend on the batch, or differ
// between repeats.
void RunPolicyBench(const StepBenchOptions& options);

}  // namespace fourstep::cli
