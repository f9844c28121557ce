#include "cli/read_bandwidth.h"

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

// Buffers of `words` that are read in turn, in regions of threads as the CPU backend has them.
class Reader {
 public:
  Reader(int64_t words, int64_t num_buffers, int32_t num_threads)
      : words_(words),
        num_buffers_(num_buffers),
        pool_(num_threads > 0 ? num_threads : NumUsableCores()),
        data_(static_cast<size_t>(words * num_buffers), 1) {}

  int num_threads() const { return pool_.num_threads(); }

  // Of a buffer, in one pass over all of them, each read by up to `num_threads`.
  double PassUs(int num_threads) {
    const auto started = Clock::now();
    for (int64_t buffer = 0; buffer < num_buffers_; ++buffer) {
      pool_.ForShares(words_, num_threads, [&](int64_t first, int64_t last, int) {
        sum_.fetch_add(SumOf(data_.data() + buffer * words_ + first, last - first),
                       std::memory_order_relaxed);
      });
    }
    return MicrosecondsSince(started) / static_cast<double>(num_buffers_);
  }

 private:
  const int64_t words_, num_buffers_;
  ThreadPool pool_;
  const std::vector<uint64_t> data_;
  std::atomic<uint64_t> sum_ = 0;  // of all that was read, so that the reads stay
};

std::vector<double> PassesUs(Reader& reader, int num_threads, int passes) {
  std::vector<double> us;
  for (int pass = 0; pass < passes; ++pass) us.push_back(reader.PassUs(num_threads));
  return us;
}

}  // namespace

double MeasureReadGbps(int32_t num_threads) {
  constexpr int64_t kWords = int64_t{512} << 17;
  constexpr int kPasses = 7;
  Reader reader(kWords, 1, num_threads);
  return static_cast<double>(kWords) * 8e-3 /
         SpreadOf(PassesUs(reader, reader.num_threads(), kPasses)).lowest;
}

double MeasureReadUs(int64_t bytes, int32_t num_buffers, int32_t num_threads) {
  constexpr int kPasses = 5;
  Reader reader((bytes + 7) / 8, num_buffers, num_threads);
  return std::min(SpreadOf(PassesUs(reader, 1, kPasses)).median,
                  SpreadOf(PassesUs(reader, reader.num_threads(), kPasses)).median);
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
