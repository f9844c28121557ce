// What the GPU's memory gives: the ceiling that kernels and steps are judged against.
#pragma once

namespace fourstep {

// GB/s (1e9 bytes) of reading 2 GiB, which no cache holds, on device 0: the best of several passes.
double MeasureCudaReadGbps();

}  // namespace fourstep
