#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <vector>

namespace fourstep {
namespace {

TEST(ThreadPool, EveryThreadRunsOnce) {
  for (const int size : {1, 2, 3, 8}) {
    ThreadPool pool(size);
    EXPECT_EQ(pool.num_threads(), size);
    for (int region = 0; region < 2000; ++region) {
      const int num_threads = 1 + region % size;
      std::vector<int> runs(static_cast<size_t>(size),
                            0);  // each thread writes its own: no two share an element
      pool.Run(num_threads, [&](int thread) { ++runs[static_cast<size_t>(thread)]; });
      for (int thread = 0; thread < size; ++thread)
        ASSERT_EQ(runs[static_cast<size_t>(thread)], thread < num_threads ? 1 : 0) << size << " " << region;
    }
  }
}

TEST(ThreadPool, SharesCoverTheRangeInOrder) {
  ThreadPool pool(4);
  for (const int64_t count : {0, 1, 2, 3, 4, 5, 7, 100, 1001}) {
    for (const int num_threads : {1, 2, 3, 4}) {
      std::vector<int> owner(static_cast<size_t>(count), -1);
      pool.ForShares(count, num_threads, [&](int64_t first, int64_t last, int thread) {
        for (int64_t i = first; i < last; ++i) owner[static_cast<size_t>(i)] = thread;
      });
      EXPECT_TRUE(std::is_sorted(owner.begin(), owner.end()));
      EXPECT_EQ(std::count(owner.begin(), owner.end(), -1), 0);
    }
  }
}

// What a region wrote is seen by the caller and by the next region, though threads fall asleep between them.
TEST(ThreadPool, RegionsSeeWhatTheOnesBeforeWrote) {
  ThreadPool pool(3);
  std::vector<int64_t> values(300, 1);
  for (int region = 0; region < 200; ++region) {
    if (region % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pool.ForShares(300, 3, [&](int64_t first, int64_t last, int) {
      for (int64_t i = first; i < last; ++i) values[static_cast<size_t>(i)] += 1;
    });
    ASSERT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 300 * (region + 2));
  }
}

TEST(ThreadPool, UsableCoresAreAtLeastOne) {
  EXPECT_GE(NumUsableCores(), 1);
}

}  // namespace
}  // namespace fourstep
