// What this machine's memory gives: the ceilings that decode speed and kernels are judged against.
#pragma once

#include <cstdint>
#include <string>

namespace fourstep::cli {

// GB/s (1e9 bytes) of reading 512 MiB that no cache holds, with `num_threads` (0: all cores): the best of
// several passes.
double MeasureReadGbps(int32_t num_threads);

// Microseconds of reading `bytes`, over `num_buffers` buffers in turn, back to back: the median of several
// passes, with all threads or one, whichever is faster.
double MeasureReadUs(int64_t bytes, int32_t num_buffers, int32_t num_threads);

// The two above of the memory that `backend` keeps weights in: a device's own, or this machine's.
double ReadGbpsOf(const std::string& backend, int32_t num_threads);
double ReadUsOf(const std::string& backend, int64_t bytes, int32_t num_buffers, int32_t num_threads);

}  // namespace fourstep::cli
