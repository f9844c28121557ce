// What this machine's memory gives: the ceiling that decode speed is judged against.
#pragma once

#include <cstdint>
#include <string>

namespace fourstep::cli {

// GB/s (1e9 bytes) of reading 512 MiB that no cache holds, with `num_threads` (0: all cores): the best of
// several passes.
double MeasureReadGbps(int32_t num_threads);

// Of the memory that `backend` keeps weights in: a device's own, or this machine's.
double ReadGbpsOf(const std::string& backend, int32_t num_threads);

}  // namespace fourstep::cli
