#include "cli/read_bandwidth.h"

#include <optional>

#include "runtime/backends.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace fourstep::cli {

double MeasureReadGbps(int32_t num_threads) {
  constexpr int64_t kWords = int64_t{512} << 17;
  constexpr int kPasses = 7;
  using Clock = std::chrono::steady_clock;
  const int threads = num_threads > 0 ? num_threads : omp_get_num_procs();
  std::vector<uint64_t> data(kWords);
  double best_seconds = 1e9;
  uint64_t sum = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    data[static_cast<size_t>(pass)] = static_cast<uint64_t>(pass);  // so that no pass repeats the one before
    const auto started = Clock::now();
#pragma omp parallel for simd reduction(+ : sum) num_threads(threads)
    for (int64_t i = 0; i < kWords; ++i) sum += data[static_cast<size_t>(i)];
    best_seconds = std::min(best_seconds, std::chrono::duration<double>(Clock::now() - started).count());
  }
  // The sum is used, so that the loop stays.
  return sum == 1 ? 0 : static_cast<double>(kWords) * 8e-9 / best_seconds;
}

double ReadGbpsOf(const std::string& backend, int32_t num_threads) {
  const std::optional<double> device_gbps = DeviceReadGbps(backend);
  return device_gbps ? *device_gbps : MeasureReadGbps(num_threads);
}

}  // namespace fourstep::cli
