// The CPU backend: SIMD chosen at run time, threads (base/thread_pool.h) over outputs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backend/backend.h"

namespace fourstep {

struct CpuOptions {
  std::string path = {};    // "avx512-vnni", "avx2", "portable"; empty: the best that the machine has
  int32_t num_threads = 0;  // 0: as many as the process may use cores
  int32_t max_rows = 256;   // rows of one step, 1..
};

// Throws Error where the machine does not have the path, or an option is out of range.
//
// Results do not depend on num_threads. They are the same bit for bit between avx512-vnni and avx2; portable
// differs from them in the last bit of fp32 sums, because it does not fuse multiplications and additions
// (W4A4 linears and the encoding of activations are the same everywhere).
std::unique_ptr<Backend> MakeCpuBackend(const CpuOptions& options);

}  // namespace fourstep
