#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <vector>

namespace fourstep {
namespace {

TEST(ThreadPool, SharesCoverTheRangeOnce) {
  for (const int size : {1, 2, 3, 8}) {
    ThreadPool pool(size);
    EXPECT_EQ(pool.num_threads(), size);
    for (int region = 0; region < 3000; ++region) {
      const int64_t count = region % 101;
      const int num_threads = 1 + region % (size + 1);
      std::vector<int> runs(static_cast<size_t>(count), 0);
      pool.ForShares(count, num_threads, [&](int64_t first, int64_t last, int thread) {
        ASSERT_TRUE(thread >= 0 && thread < size);
        for (int64_t i = first; i < last; ++i) ++runs[static_cast<size_t>(i)];
      });
      ASSERT_EQ(std::count(runs.begin(), runs.end(), 1), count) << size << " threads, region " << region;
    }
  }
}

// Scratch memory by thread number is safe: no two shares run under one number at a time.
TEST(ThreadPool, ThreadNumbersAreExclusive) {
  ThreadPool pool(4);
  std::atomic<int> users[4] = {};
  std::atomic<int> clashes = 0;
  for (int region = 0; region < 2000; ++region) {
    pool.ForShares(64, 4, [&](int64_t, int64_t, int thread) {
      clashes += users[thread].fetch_add(1);
      users[thread].fetch_sub(1);
    });
  }
  EXPECT_EQ(clashes, 0);
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
