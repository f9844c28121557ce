#include "cli/read_bandwidth.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "cli/timing.h"
#include "runtime/backends.h"

namespace fourstep::cli {
namespace {

// Four streams at a time: a core fetches ahead in each.
uint64_t SumOf(const uint64_t* words, int64_t count) {
  const int64_t quarter = count / 4;
  uint64_t sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < quarter; ++i)
    sum += words[i] + words[quarter + i] + words[2 * quarter + i] + words[3 * quarter + i];
  for (int64_t i = 4 * quarter; i < count; ++i) sum += words[i];
  return sum;
}

// Of one buffer of `words`, read by up to `num_threads` of the pool's.
double MedianReadUs(const std::vector<uint64_t>& data, int64_t words, int num_threads, ThreadPool& pool) {
  constexpr int kPasses = 5;
  const int64_t num_buffers = static_cast<int64_t>(data.size()) / words;
  std::vector<double> us;
  std::atomic<uint64_t> all = 0;  // used, so that the reads stay
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto started = Clock::now();
    for (int64_t buffer = 0; buffer < num_buffers; ++buffer) {
      pool.ForShares(words, num_threads, [&](int64_t first, int64_t last, int) {
        all.fetch_add(SumOf(data.data() + buffer * words + first, last - first), std::memory_order_relaxed);
      });
    }
    us.push_back(MicrosecondsSince(started) / static_cast<double>(num_buffers));
  }
  return SpreadOf(us).median;
}

}  // namespace

double MeasureReadGbps(int32_t num_threads) {
  constexpr int64_t kWords = int64_t{512} << 17;
  constexpr int kPasses = 7;
  const int threads = num_threads > 0 ? num_threads : omp_get_num_procs();
  std::vector<uint64_t> data(kWords);
  double best_us = 1e15;
  uint64_t sum = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    data[static_cast<size_t>(pass)] = static_cast<uint64_t>(pass);  // so that no pass repeats the one before
    const auto started = Clock::now();
#pragma omp parallel for simd reduction(+ : sum) num_threads(threads)
    for (int64_t i = 0; i < kWords; ++i) sum += data[static_cast<size_t>(i)];
    best_us = std::min(best_us, MicrosecondsSince(started));
  }
  // The sum is used, so that the loop stays.
  return sum == 1 ? 0 : static_cast<double>(kWords) * 8e-3 / best_us;
}

double MeasureReadUs(int64_t bytes, int32_t num_buffers, int32_t num_threads) {
  const int64_t words = (bytes + 7) / 8;
  ThreadPool pool(num_threads > 0 ? num_threads : NumUsableCores());
  const std::vector<uint64_t> data(static_cast<size_t>(words) * static_cast<size_t>(num_buffers), 1);
  return std::min(MedianReadUs(data, words, 1, pool), MedianReadUs(data, words, pool.num_threads(), pool));
}

double ReadGbpsOf(const std::string& backend, int32_t num_threads) {
  const std::optional<double> device_gbps = DeviceReadGbps(backend);
  return device_gbps ? *device_gbps : MeasureReadGbps(num_threads);
}

double ReadUsOf(const std::string& backend, int64_t bytes, int32_t num_buffers, int32_t num_threads) {
  const std::optional<double> device_us = DeviceReadUs(backend, bytes, num_buffers);
  return device_us ? *device_us : MeasureReadUs(bytes, num_buffers, num_threads);
}

}  // namespace fourstep::cli
