// The kernels of a draw that only some requests need: adjusted logits, and the most probable tokens.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/sampling.h"
#include "cuda/step_view.h"

namespace fourstep::cuda {

// view.adjusted of all rows (those without adjustments as they are), and their maxima in view.stats.
void LaunchAdjust(const SamplingView& view, const StepView& step, int32_t num_draws, cudaStream_t stream);

// To view.top_ring, before the records that they belong to are told.
void LaunchTopLogprobs(const SamplingView& view, const StepView& step, int32_t num_draws,
                       cudaStream_t stream);

// After the draw: notes and states move on.
void LaunchNoteDrawn(const SamplingView& view, const StepView& step, int32_t num_draws, cudaStream_t stream);

}  // namespace fourstep::cuda
