// Threads for regions of work so short (10 us to 10 ms) that waking a sleeping thread for each would cost as
// much as the work: they spin briefly, then sleep. A region is cut into more shares than threads, and whoever
// is free takes the next: a thread that the system does not run holds up at most the share that it is in.
// OpenMP's threads have fixed shares and spin for milliseconds; on a machine that is busy with something
// else, a decode step of 0.2 ms took 400 ms.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace fourstep {

// Cores that this process may use (its affinity mask), at least 1.
int NumUsableCores();

class ThreadPool {
 public:
  static constexpr int kMaxThreads = 1023;

  // `num_threads` (1..kMaxThreads) with the caller's. Throws std::system_error where the system gives none.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // f(first, last, thread) on contiguous shares that cover 0..count-1, on up to `num_threads` threads (or
  // all, where there are fewer); thread is 0..num_threads()-1, 0 being the caller's, and no two run at once
  // under one number. Returns when all is done. One caller at a time; f does not call ForShares and does not
  // throw. Which thread takes which share is chance: what f computes may not depend on it.
  template <typename F>
  void ForShares(int64_t count, int num_threads, const F& f) {
    num_threads = std::min(num_threads, this->num_threads());
    const int64_t num_shares = std::min<int64_t>(count, int64_t{num_threads} * kSharesAThread);
    if (num_threads <= 1 || num_shares <= 1) {
      f(int64_t{0}, count, 0);
      return;
    }
    const auto share = [&](int64_t i, int thread) {
      f(count * i / num_shares, count * (i + 1) / num_shares, thread);
    };
    using Share = decltype(share);
    RunShares(static_cast<uint32_t>(num_shares), {[](const void* context, int64_t i, int thread) {
                                                    (*static_cast<const Share*>(context))(i, thread);
                                                  },
                                                  &share});
  }

 private:
  static constexpr int kSharesAThread = 4;

  struct Task {
    void (*function)(const void* context, int64_t share, int thread) = nullptr;
    const void* context = nullptr;
  };

  void RunShares(uint32_t num_shares, const Task& task);
  void TakeShares(uint32_t region, int thread);
  void Work(int thread);
  void Stop();

  Task task_;  // of the current region: read only by who has taken a share of it, and so keeps it current
  // The current region's number (32 bits), its shares (16) and how many of them are taken (16): one word, so
  // that a thread that comes late can neither take a share of a region that it does not know nor one that is
  // over.
  std::atomic<uint64_t> taken_{0};
  std::atomic<uint32_t> num_done_{0};  // shares of the current region
  std::atomic<uint32_t> region_{0};    // what idle threads wait on
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> workers_;
};

}  // namespace fourstep
