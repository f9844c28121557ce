#include "base/philox.h"

#include <gtest/gtest.h>

#include <array>

namespace fourstep {
namespace {

// The known-answer vectors that come with Random123 for philox4x32-10.
TEST(Philox, EqualsThePublishedVectors) {
  const Philox4 zeros = Philox(0, 0, 0);
  EXPECT_EQ(zeros.v[0], 0x6627e8d5u);
  EXPECT_EQ(zeros.v[1], 0xe169c58du);
  EXPECT_EQ(zeros.v[2], 0xbc57ac4cu);
  EXPECT_EQ(zeros.v[3], 0x9b00dbd8u);
  const Philox4 ones = Philox(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0});
  EXPECT_EQ(ones.v[0], 0x408f276du);
  EXPECT_EQ(ones.v[1], 0x41c83b0eu);
  EXPECT_EQ(ones.v[2], 0xa20bc7c6u);
  EXPECT_EQ(ones.v[3], 0x6d5451fdu);
  const Philox4 pi = Philox(0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x0370734413198a2eu);
  EXPECT_EQ(pi.v[0], 0xd16cfe09u);
  EXPECT_EQ(pi.v[1], 0x94fdccebu);
  EXPECT_EQ(pi.v[2], 0x5001e420u);
  EXPECT_EQ(pi.v[3], 0x24126ea1u);
}

TEST(Philox, UniformStaysBelowOne) {
  EXPECT_EQ(UniformFloat(0), 0.0f);
  EXPECT_LT(UniformFloat(0xFFFFFFFFu), 1.0f);
  EXPECT_LT(UniformDouble(0xFFFFFFFFu, 0xFFFFFFFFu), 1.0);
}

TEST(PhiloxStream, BelowIsUniform) {
  PhiloxStream random(1, 2);
  std::array<int, 7> counts{};
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) ++counts[random.Below(7)];
  // Six standard deviations of a binomial count: sqrt(70000 * 1/7 * 6/7) = 93.
  for (const int count : counts) EXPECT_NEAR(count, 10000, 6 * 93);
  EXPECT_EQ(random.Below(1), 0u);
}

}  // namespace
}  // namespace fourstep
