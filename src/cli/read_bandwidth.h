// What this machine's memory gives: the ceiling that decode speed is judged against.
#pragma once

#include <cstdint>

namespace fourstep::cli {

// GB/s (1e9 bytes) of reading 512 MiB that no cache holds, with `num_threads` (0: all cores): the best of
// several passes.
double MeasureReadGbps(int32_t num_threads);

}  // namespace fourstep::cli
