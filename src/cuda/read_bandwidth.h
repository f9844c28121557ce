// What the GPU's memory gives: the ceilings that kernels and steps are judged against.
#pragma once

#include <cstdint>

namespace fourstep {

// Both throw std::runtime_error where the device has not enough memory free.

// GB/s (1e9 bytes) of reading 2 GiB, which no cache holds, on device 0: the best of several passes.
double MeasureCudaReadGbps();

// Microseconds that a kernel which only reads `bytes` takes on device 0, in a captured graph of such kernels
// back to back, each reading the next of `num_buffers` buffers in turn. As the backend's kernels may, each
// begins while the one before it ends. The median of several measurements, of the best of several grids.
double MeasureCudaReadUs(int64_t bytes, int32_t num_buffers);

}  // namespace fourstep
