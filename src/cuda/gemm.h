// Linears for many rows: of kernels that need many to be worth it.
#pragma once

#include "cuda/linear.h"
#include "cuda/linear_plan.cuh"

namespace fourstep::cuda {

bool IsForGemm(const LinearCall& call);
// Of a plan whose call is.
void LaunchGemm(const Plan& plan, const DeviceLimits& limits, cudaStream_t stream);

}  // namespace fourstep::cuda
