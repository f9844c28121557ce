// `fourstep bench kernels`: every projection of a published shape, alone, on weights that no cache holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fourstep::cli {

struct KernelBenchOptions {
  std::vector<std::string> shapes = {"qwen3-8b"};
  std::vector<int32_t> batches = {1, 2, 4, 8};
  std::vector<std::string> numerics = {"w4a4", "bf16"};
  std::string head;  // of HeadFormatNames(); empty: as the other linears
  std::string backend = "cpu", cpu_path;
  int32_t num_threads = 0, repeats = 7;
  int32_t cold_mb = 512;  // of the copies that take turns, at least
  bool json = false;
  std::string csv_path;
};

// Throws Error for bad options; std::runtime_error where an answer is wrong.
void RunKernelBench(const KernelBenchOptions& options);

}  // namespace fourstep::cli
