#include "sampling/exp_float.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace fourstep {
namespace {

double UlpsOff(float x) {
  const double exact = std::exp(static_cast<double>(x));
  const int exponent = std::ilogb(exact);
  return std::abs(static_cast<double>(ExpNonPositive(x)) - exact) / std::ldexp(1.0, exponent - 23);
}

// Every 61st float of [-87, 0]: 18 million numbers in steps that hit all mantissa patterns over time.
TEST(ExpNonPositive, StaysWithinOneUlp) {
  const uint32_t last = std::bit_cast<uint32_t>(-87.0f);
  double worst = 0;
  for (uint32_t bits = 0x80000000u; bits < last; bits += 61) {
    worst = std::max(worst, UlpsOff(std::bit_cast<float>(bits)));
  }
  EXPECT_LT(worst, 1.0);
  RecordProperty("worst_ulp", std::to_string(worst));
}

TEST(ExpNonPositive, IsTheSameForFour) {
  for (float x = 0; x > -100; x -= 0.0173f) {
    const Float4 four = ExpNonPositive(Float4{x, x / 3, x * 2, -std::numeric_limits<float>::infinity()});
    ASSERT_EQ(four[0], ExpNonPositive(x));
    ASSERT_EQ(four[1], ExpNonPositive(x / 3));
    ASSERT_EQ(four[2], ExpNonPositive(x * 2));
    ASSERT_EQ(four[3], 0.0f);
  }
}

TEST(ExpNonPositive, IsExactAtTheEnds) {
  EXPECT_EQ(ExpNonPositive(0.0f), 1.0f);
  EXPECT_EQ(ExpNonPositive(-0.0f), 1.0f);
  EXPECT_EQ(ExpNonPositive(-87.0f), 0.0f);
  EXPECT_EQ(ExpNonPositive(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(ExpNonPositive(std::numeric_limits<float>::quiet_NaN()), 0.0f);
  EXPECT_GT(ExpNonPositive(-86.99f), 0.0f);
}

}  // namespace
}  // namespace fourstep
