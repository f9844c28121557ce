// `fourstep bench components`: what each kind of operation takes of a step, on random weights of a published
// shape.
#pragma once

#include "cli/shape_decoder.h"

namespace fourstep::cli {

// Throws Error for bad options.
void RunComponentBench(const StepBenchOptions& options);

}  // namespace fourstep::cli
