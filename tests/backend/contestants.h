// The backends that tests hold against the reference: every path of the CPU, and the GPU where there is one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"
#if defined(FOURSTEP_HAS_CUDA)
#include "cuda/cuda_backend.h"
#endif

namespace fourstep {

struct Contestant {
  std::string name;
  bool has_threads;  // its results must not depend on their number
  std::function<std::unique_ptr<Backend>(int32_t num_threads)> make;  // of 144 rows a step
};

inline std::vector<Contestant> Contestants() {
  constexpr int32_t kMaxRows = 144;
  std::vector<Contestant> all;
  for (const char* path : {"portable", "avx2", "avx512-vnni"}) {
    if (cpu::FindKernels(path) == nullptr) continue;
    all.push_back({path, true, [path](int32_t num_threads) {
                     return MakeCpuBackend({.path = path, .num_threads = num_threads, .max_rows = kMaxRows});
                   }});
  }
#if defined(FOURSTEP_HAS_CUDA)
  if (CountCudaDevices() > 0)
    all.push_back({"cuda", false, [](int32_t) { return MakeCudaBackend({.max_rows = kMaxRows}); }});
#endif
  return all;
}

}  // namespace fourstep
