#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>

#include "base/check.h"

namespace fourstep {
namespace {

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Until `value` is no longer `old`. Some 20 us of spinning cover the gap between two operations of a decode
// step.
template <typename T>
void AwaitChange(const std::atomic<T>& value, T old) {
  for (int spin = 0; spin < 2000; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

int NumUsableCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;  // over 1,024 cores
  return std::max(1, CPU_COUNT(&cores));
}

ThreadPool::ThreadPool(int num_threads) {
  FOURSTEP_CHECK(num_threads >= 1 && num_threads <= kMaxThreads, "{} threads", num_threads);
  static_assert(int64_t{kMaxThreads} * kSharesAThread < 1 << 16);
  workers_.reserve(static_cast<size_t>(num_threads) - 1);
  try {
    for (int thread = 1; thread < num_threads; ++thread)
      workers_.emplace_back([this, thread] { Work(thread); });
  } catch (...) {
    Stop();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  Stop();
}

void ThreadPool::Stop() {
  stopping_.store(true, std::memory_order_relaxed);
  region_.fetch_add(1, std::memory_order_release);
  region_.notify_all();
}

void ThreadPool::RunShares(uint32_t num_shares, const Task& task) {
  const uint32_t region = region_.load(std::memory_order_relaxed) + 1;
  task_ = task;
  num_done_.store(0, std::memory_order_relaxed);
  taken_.store(uint64_t{region} << 32 | uint64_t{num_shares} << 16, std::memory_order_release);
  region_.store(region, std::memory_order_release);
  region_.notify_all();
  TakeShares(region, 0);
  for (uint32_t done; (done = num_done_.load(std::memory_order_acquire)) != num_shares;)
    AwaitChange(num_done_, done);
}

void ThreadPool::TakeShares(uint32_t region, int thread) {
  for (uint64_t taken = taken_.load(std::memory_order_acquire);;) {
    const uint64_t share = taken & 0xFFFF, num_shares = taken >> 16 & 0xFFFF;
    if (taken >> 32 != region || share == num_shares) return;
    if (!taken_.compare_exchange_weak(taken, taken + 1, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    task_.function(task_.context, static_cast<int64_t>(share), thread);
    if (num_done_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_shares) num_done_.notify_one();
    taken = taken_.load(std::memory_order_acquire);
  }
}

void ThreadPool::Work(int thread) {
  for (uint32_t seen = 0;;) {
    AwaitChange(region_, seen);
    seen = region_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    TakeShares(seen, thread);
  }
}

}  // namespace fourstep
