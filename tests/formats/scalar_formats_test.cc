// Every code of every scalar format, every border between two codes, and the floats around it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "formats/bfloat16.h"
#include "formats/e2m1.h"
#include "formats/e4m3.h"
#include "formats/e8m0.h"
#include "formats/float16.h"

namespace fourstep {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Encode must give, for the value itself, its code; for the middle of two neighbours the even code; and for
// the floats next to the middle the nearer one. `values` ascend with their codes 0, 1, 2, ...
void CheckRoundToNearestEven(const std::vector<float>& values, uint8_t (*encode)(float)) {
  for (size_t code = 0; code < values.size(); ++code) {
    ASSERT_EQ(encode(values[code]), code);
    if (code + 1 == values.size()) break;
    const float middle = values[code] + (values[code + 1] - values[code]) / 2;
    ASSERT_EQ(encode(middle), code % 2 == 0 ? code : code + 1) << middle;
    ASSERT_EQ(encode(std::nextafter(middle, -kInfinity)), code) << middle;
    ASSERT_EQ(encode(std::nextafter(middle, kInfinity)), code + 1) << middle;
  }
}

TEST(E2M1, DecodesTheTable) {
  const float magnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (uint8_t code = 0; code < 16; ++code) {
    const float expected = code & 8 ? -magnitudes[code & 7] : magnitudes[code & 7];
    EXPECT_EQ(E2M1::Decode(code), expected);
    EXPECT_EQ(E2M1::DecodeDoubled(code), static_cast<int>(2 * expected));
  }
}

TEST(E2M1, EncodesToNearestEvenAndSaturates) {
  CheckRoundToNearestEven({0, 0.5, 1, 1.5, 2, 3, 4, 6}, &E2M1::Encode);
  for (const float large : {6.5f, 1e30f, kInfinity}) {
    EXPECT_EQ(E2M1::Encode(large), 7);
    EXPECT_EQ(E2M1::Encode(-large), 15);
  }
  for (uint8_t code = 9; code < 16; ++code) EXPECT_EQ(E2M1::Encode(E2M1::Decode(code)), code);
}

// All signs, exponents and leading bits, each with the lowest bits that a rounding could see; NaN too.
TEST(E2M1, RoundsAsItsCodesDo) {
  for (uint32_t high = 0; high < 1u << 20; ++high) {
    for (const uint32_t low : {0u, 1u, 0x800u, 0xFFFu}) {
      const float x = FloatFromBits(high << 12 | low);
      ASSERT_EQ(FloatBits(E2M1::Round(x)), FloatBits(E2M1::Decode(E2M1::Encode(x)))) << x;
    }
  }
}

TEST(E4M3, KnowsItsNaNsAndTheScaleOfValues) {
  for (int code = 0; code < 256; ++code)
    EXPECT_EQ(E4M3::IsNaN(static_cast<uint8_t>(code)), std::isnan(E4M3::Decode(static_cast<uint8_t>(code))));
  EXPECT_EQ(E4M3::Scale(0), 1);
  EXPECT_EQ(E4M3::Scale(896), 2);
}

TEST(E4M3, DecodesEveryCode) {
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const float value = E4M3::Decode(static_cast<uint8_t>(code));
    if ((code & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(value));
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1 + mantissa / 8.0, exponent - 7);
    EXPECT_EQ(value, static_cast<float>(code & 0x80 ? -magnitude : magnitude)) << code;
  }
  EXPECT_EQ(E4M3::Decode(0x7E), 448.0f);
  EXPECT_EQ(E4M3::Decode(0x77), 240.0f);
}

TEST(E4M3, EncodesToNearestEvenAndSaturates) {
  std::vector<float> values;
  for (int code = 0; code <= E4M3::kMaxCode; ++code)
    values.push_back(E4M3::Decode(static_cast<uint8_t>(code)));
  CheckRoundToNearestEven(values, &E4M3::Encode);
  for (const float large : {448.0f, 449.0f, 464.0f, 480.0f, 1e30f, kInfinity}) {
    EXPECT_EQ(E4M3::Encode(large), 0x7E);
    EXPECT_EQ(E4M3::Encode(-large), 0xFE);
  }
  EXPECT_EQ(E4M3::Encode(0x1p-149f), 0);
  EXPECT_EQ(E4M3::Encode(std::numeric_limits<float>::quiet_NaN()) & 0x7F, 0x7F);
}

// What an FP8 cache counts on, over floats of all magnitudes: the error is half a step, the order stays, the
// sign is apart.
TEST(E4M3, RoundsWithin2ToTheMinus4) {
  float last = 0;
  for (uint32_t bits = 0; bits < FloatBits(E4M3::kMax); bits += 997) {
    const float x = FloatFromBits(bits), rounded = E4M3::Decode(E4M3::Encode(x));
    ASSERT_LE(std::fabs(rounded - x), std::max(x * 0x1p-4f, 0x1p-10f)) << x;
    ASSERT_GE(rounded, last) << x;
    ASSERT_EQ(E4M3::Encode(-x), E4M3::Encode(x) | 0x80) << x;
    last = rounded;
  }
}

TEST(E8M0, PowersOfTwo) {
  for (int code = 0; code < 255; ++code) {
    const float value = E8M0::Decode(static_cast<uint8_t>(code));
    EXPECT_EQ(value, std::ldexp(1.0f, code - 127));
    EXPECT_EQ(E8M0::EncodeUp(value), code);
    EXPECT_EQ(E8M0::EncodeUp(std::nextafter(value, 0.0f)), code) << code;
    EXPECT_EQ(E8M0::EncodeUp(std::nextafter(value, kInfinity)), std::min(code + 1, 254)) << code;
  }
  EXPECT_TRUE(std::isnan(E8M0::Decode(255)));
  EXPECT_EQ(E8M0::EncodeUp(0), 0);
}

TEST(BFloat16, EveryCodeRoundTripsAndBordersGoToEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const BFloat16 code{static_cast<uint16_t>(bits)};
    const float value = BFloat16::Decode(code);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(RoundToBFloat16(value)));
      continue;
    }
    ASSERT_EQ(BFloat16::Encode(value).bits, bits);
    if (std::isinf(value)) continue;
    const float middle = FloatFromBits(bits << 16 | 0x8000u);  // half way to the next code, away from zero
    ASSERT_EQ(BFloat16::Encode(middle).bits, bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(BFloat16::Encode(FloatFromBits(bits << 16 | 0x7FFFu)).bits, bits);
    ASSERT_EQ(BFloat16::Encode(FloatFromBits(bits << 16 | 0x8001u)).bits, bits + 1);
  }
  EXPECT_TRUE(std::isnan(RoundToBFloat16(FloatFromBits(0x7F800001u))));  // a NaN whose upper half is infinity
}

TEST(Float16, DecodesEveryCode) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = bits >> 10 & 31;
    const auto mantissa = static_cast<float>(bits & 1023);
    const float value = Float16::Decode({static_cast<uint16_t>(bits)});
    if (exponent == 31) {
      EXPECT_EQ(std::isinf(value), mantissa == 0);
      EXPECT_EQ(std::isnan(value), mantissa != 0);
      continue;
    }
    const float magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1 + mantissa / 1024, exponent - 15);
    ASSERT_EQ(value, bits & 0x8000 ? -magnitude : magnitude) << bits;
  }
}

}  // namespace
}  // namespace fourstep
