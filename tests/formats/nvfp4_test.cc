#include "formats/nvfp4.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/philox.h"
#include "formats/mxfp4.h"

namespace fourstep {
namespace {

using Values = std::array<float, NvFp4::kBlockValues>;

// Sixteen weights k/32 in a tensor whose largest magnitude is 2, worked by hand: block scale 112, codes by
// the table.
TEST(NvFp4, WorkedVector) {
  const Values x = {.03125f, -.0625f, .09375f,  .125f, -.15625f, .1875f,  .21875f, -.25f,
                    .28125f, .3125f,  -.34375f, .375f, .40625f,  -.4375f, .46875f, -.5f};
  const float g = NvFp4::GlobalScale(2.0f);
  EXPECT_EQ(g, 0x1.861862p-11f);
  const NvFp4::Block block = NvFp4::EncodeWeight(x.data(), g);
  EXPECT_EQ(block.scale, 0x6E);
  const std::array<uint8_t, 8> expected = {0xA1, 0x32, 0x4C, 0xD5, 0x65, 0x6E, 0xF6, 0xF7};
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(block.codes[i], expected[i]) << i;
  Values decoded;
  NvFp4::Decode(block, g, decoded.data());
  double squared_error = 0;
  for (size_t i = 0; i < x.size(); ++i) squared_error += std::pow(double{decoded[i]} - x[i], 2);
  EXPECT_NEAR(squared_error, 0.015625, 1e-6);
}

TEST(NvFp4, ZeroBlocksDecodeToZero) {
  const Values zero{};
  for (const NvFp4::Block& block :
       {NvFp4::EncodeWeight(zero.data(), 0.01f), NvFp4::EncodeActivation(zero.data(), 3)}) {
    Values decoded;
    NvFp4::Decode(block, 0.01f, decoded.data());
    for (const float value : decoded) EXPECT_EQ(value, 0);
  }
  EXPECT_EQ(NvFp4::GlobalScale(0), 1);
}

// Every error is at most half the widest gap of the grid around it: 1/6 of the block's largest value (between
// 4 and 6), plus what rounding the scale to 3 mantissa bits moves (1/16); values stay within the format.
TEST(NvFp4, ErrorsAreBounded) {
  PhiloxStream random(3);
  for (int trial = 0; trial < 20000; ++trial) {
    Values x;
    for (float& value : x)
      value = static_cast<float>((random.Uniform() - 0.5) * std::exp2(random.Between(-6, 6)));
    const float amax = NvFp4::BlockMax(x.data());
    const float g = NvFp4::GlobalScale(amax * 4);
    Values weight, activation;
    NvFp4::Decode(NvFp4::EncodeWeight(x.data(), g), g, weight.data());
    NvFp4::Decode(NvFp4::EncodeActivation(x.data(), 1 / g), g, activation.data());
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_LE(std::fabs(weight[i] - x[i]), amax * (1.0f / 6) * (1 + 1.0f / 16));
      ASSERT_LE(std::fabs(activation[i] - x[i]), amax * (1.0f / 6) * (1 + 1.0f / 16));
    }
  }
}

TEST(NvFp4, ActivationsBeyondTheCalibratedRangeClip) {
  Values x{};
  x[0] = 10 * NvFp4::kTensorMax;
  x[1] = -1;
  Values decoded;
  NvFp4::Decode(NvFp4::EncodeActivation(x.data(), 1.0f), 1.0f, decoded.data());
  EXPECT_EQ(decoded[0], NvFp4::kTensorMax);
  EXPECT_EQ(decoded[1], 0);
}

// MXFP4 is contained in NVFP4: with g = 2^(k_max - 8) and block scales 2^(k - k_max + 8), the codes stay as
// they are.
TEST(MxFp4, ConvertsToNvFp4WithoutLoss) {
  PhiloxStream random(4);
  std::array<MxFp4::Block, 64> blocks;
  int max_exponent = -1000;
  for (MxFp4::Block& block : blocks) {
    float x[MxFp4::kBlockValues];
    const double size = std::exp2(random.Between(-8, 8));
    for (float& value : x) value = static_cast<float>((random.Uniform() - 0.5) * size);
    block = MxFp4::Encode(x);
    max_exponent = std::max(max_exponent, block.scale - 127);
  }
  const float g = std::ldexp(1.0f, max_exponent - 8);
  for (const MxFp4::Block& block : blocks) {
    float expected[MxFp4::kBlockValues];
    MxFp4::Decode(block, expected);
    for (int half = 0; half < 2; ++half) {
      NvFp4::Block converted;
      std::copy_n(block.codes + half * NvFp4::kBlockCodeBytes, NvFp4::kBlockCodeBytes, converted.codes);
      converted.scale = E4M3::Encode(std::ldexp(1.0f, block.scale - 127 - max_exponent + 8));
      float decoded[NvFp4::kBlockValues];
      NvFp4::Decode(converted, g, decoded);
      for (int i = 0; i < NvFp4::kBlockValues; ++i) ASSERT_EQ(decoded[i], expected[half * 16 + i]);
    }
  }
}

}  // namespace
}  // namespace fourstep
