// The CUDA backend: operations are recorded and run as one captured graph a step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backend/backend.h"

namespace fourstep {

struct CudaOptions {
  int32_t device = 0;
  int32_t max_rows = 256;  // rows of one step, 1..
};

// Throws Error where there is no such device (or no driver), or an option is out of range.
std::unique_ptr<Backend> MakeCudaBackend(const CudaOptions& options);

// How many devices this process can use; 0 where there is no driver.
int32_t CountCudaDevices();

}  // namespace fourstep
