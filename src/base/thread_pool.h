// Threads for regions of work so short (10 us to 10 ms) that waking a sleeping thread for each would cost as
// much as the work: they spin briefly, then sleep. OpenMP's threads spin for milliseconds, which on a machine
// that is busy with something else takes the cores from those who hold the work: a decode step of 0.2 ms took
// 400 ms there.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
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

  // f(thread) for every thread 0..num_threads-1 (at most this->num_threads()), thread 0 on the caller's;
  // returns when all have. One caller at a time, f does not call Run and does not throw.
  template <typename F>
  void Run(int num_threads, const F& f) {
    Task task{[](const void* context, int thread) { (*static_cast<const F*>(context))(thread); }, &f};
    RunTask(num_threads, task);
  }

  // f(first, last, thread) on contiguous shares of 0..count-1, at most one a thread.
  template <typename F>
  void ForShares(int64_t count, int num_threads, const F& f) {
    const int64_t shares = count < num_threads ? count : num_threads;
    if (shares <= 1) {
      f(int64_t{0}, count, 0);
      return;
    }
    Run(static_cast<int>(shares),
        [&](int thread) { f(count * thread / shares, count * (thread + 1) / shares, thread); });
  }

 private:
  struct Task {
    void (*function)(const void* context, int thread) = nullptr;
    const void* context = nullptr;
  };

  void RunTask(int num_threads, const Task& task);
  void Work(int thread);

  Task task_;  // written by the caller before it announces, read only by the threads that the announcement
               // counts
  // Number of the region times 1,024, plus how many threads take part: one word, so that a thread that is not
  // needed never touches task_. 0 in the low bits ends the pool.
  std::atomic<uint32_t> announcement_{1};
  std::atomic<int32_t> num_pending_{0};  // threads that have not finished the region
  std::vector<std::jthread> workers_;
};

}  // namespace fourstep
