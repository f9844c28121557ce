// Division by a product and a shift is division.
#include "cuda/divisor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "base/philox.h"

namespace fourstep::cuda {
namespace {

constexpr int32_t kLargest = std::numeric_limits<int32_t>::max();

void ExpectDivides(int32_t n, int32_t d) {
  const Divisor divisor(d);
  ASSERT_EQ(n / divisor, n / d) << n << " / " << d;
  ASSERT_EQ(n % divisor, n % d) << n << " % " << d;
}

// Around every multiple that a rounding could move: the first ones, the last ones, and some between.
void ExpectDividesAround(int32_t d, PhiloxStream& random) {
  const int32_t last = kLargest / d;
  std::vector<int64_t> multiples = {0, 1, 2, 3, last - 1, last};
  for (int i = 0; i < 8; ++i) multiples.push_back(random.Below(static_cast<uint32_t>(last) + 1));
  for (const int64_t m : multiples) {
    for (int64_t n = m * d - 1; n <= m * d + 1; ++n) {
      if (n >= 0 && n <= kLargest) ExpectDivides(static_cast<int32_t>(n), d);
    }
  }
}

TEST(Divisor, Divides) {
  PhiloxStream random(7);
  for (int32_t d = 1; d <= 5000; ++d) ExpectDividesAround(d, random);
  for (int shift = 13; shift < 31; ++shift) {
    for (int32_t d = (1 << shift) - 2; d <= (1 << shift) + 2; ++d) ExpectDividesAround(d, random);
  }
  ExpectDividesAround(kLargest - 1, random);
  ExpectDividesAround(kLargest, random);
}

TEST(Divisor, IsItsValue) {
  EXPECT_EQ(Divisor(24) * 2 + 1, 49);
  EXPECT_EQ(Divisor(0), 0);
}

}  // namespace
}  // namespace fourstep::cuda
