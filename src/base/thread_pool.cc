#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>

#include "base/check.h"

namespace fourstep {
namespace {

constexpr uint32_t kThreadBits = 10, kThreadMask = (1u << kThreadBits) - 1;
static_assert(ThreadPool::kMaxThreads == kThreadMask);

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
  workers_.reserve(static_cast<size_t>(num_threads) - 1);
  try {
    for (int thread = 1; thread < num_threads; ++thread)
      workers_.emplace_back([this, thread] { Work(thread); });
  } catch (...) {
    announcement_.store(0);
    announcement_.notify_all();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  announcement_.store(0, std::memory_order_release);
  announcement_.notify_all();
}

void ThreadPool::RunTask(int num_threads, const Task& task) {
  FOURSTEP_CHECK(num_threads >= 1 && num_threads <= this->num_threads(), "{} of {} threads", num_threads,
                 this->num_threads());
  if (num_threads > 1) {
    task_ = task;
    num_pending_.store(num_threads - 1, std::memory_order_relaxed);
    const uint32_t region = (announcement_.load(std::memory_order_relaxed) >> kThreadBits) + 1;
    announcement_.store(region << kThreadBits | static_cast<uint32_t>(num_threads),
                        std::memory_order_release);
    announcement_.notify_all();
  }
  task.function(task.context, 0);
  if (num_threads == 1) return;
  for (int32_t pending; (pending = num_pending_.load(std::memory_order_acquire)) != 0;)
    AwaitChange(num_pending_, pending);
}

void ThreadPool::Work(int thread) {
  for (uint32_t seen = 1;;) {
    AwaitChange(announcement_, seen);
    seen = announcement_.load(std::memory_order_acquire);
    const auto num_threads = static_cast<int>(seen & kThreadMask);
    if (num_threads == 0) return;
    if (thread >= num_threads) continue;
    task_.function(task_.context, thread);
    if (num_pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) num_pending_.notify_one();
  }
}

}  // namespace fourstep
