// Encoding of whole weights against an oracle that looks for the nearest value by trying them all, and
// against what theory says of the error on normal weights.
#include "quantize/encoded_weight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "formats/bfloat16.h"
#include "quantize/methods.h"
#include "quantize/rtn.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

std::vector<float> Normals(size_t count, float sigma, uint64_t seed) {
  PhiloxStream random(seed);
  std::vector<float> out(count);
  for (float& x : out) {  // Box-Muller
    const double radius = std::sqrt(-2 * std::log(1 - random.Uniform()));
    x = sigma * static_cast<float>(radius * std::cos(2 * std::numbers::pi * random.Uniform()));
  }
  return out;
}

LinearWeight View(const std::vector<float>& values, int64_t k) {
  LinearWeight w;
  w.name = "some.linear";
  w.format = WeightFormat::kFp32;
  w.n = static_cast<int64_t>(values.size()) / k;
  w.k = k;
  w.values = std::as_bytes(std::span(values));
  return w;
}

// --- The oracle: tables from the formats' definitions, nearest by distance in double, ties to the even code.

double E2m1Value(int code) {
  constexpr double kMagnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  return kMagnitudes[code];
}

double E4m3Value(int code) {
  const int exponent = code >> 3, mantissa = code & 7;
  return exponent == 0 ? mantissa * std::exp2(-9) : (1 + mantissa / 8.0) * std::exp2(exponent - 7);
}

template <typename ValueOf>
int NearestCode(double x, int first, int last, ValueOf value_of) {
  int best = first;
  for (int code = first; code <= last; ++code) {
    const double distance = std::fabs(value_of(code) - x), best_distance = std::fabs(value_of(best) - x);
    if (distance < best_distance || (distance == best_distance && code % 2 == 0)) best = code;
  }
  return best;
}

struct OracleBlock {
  int scale;
  int codes[16];
};

OracleBlock EncodeByTrying(const float* x, float g) {
  float amax = 0;
  for (int i = 0; i < 16; ++i) amax = std::max(amax, std::fabs(x[i]));
  OracleBlock block{};
  block.scale = NearestCode(amax / 6.0f / g, 1, 0x7E, E4m3Value);
  const float step = static_cast<float>(E4m3Value(block.scale)) * g;
  for (int i = 0; i < 16; ++i)
    block.codes[i] = NearestCode(std::fabs(x[i] / step), 0, 7, E2m1Value) + (x[i] < 0 ? 8 : 0);
  return block;
}

void ExpectLikeOracle(const std::vector<float>& values, int64_t k, float g) {
  const EncodedWeight encoded = EncodeRtn(View(values, k), g, 2);
  ASSERT_EQ(encoded.codes.size(), values.size() / 2);
  ASSERT_EQ(encoded.block_scales.size(), values.size() / 16);
  double error_squares = 0, squares = 0;
  for (size_t b = 0; b < encoded.block_scales.size(); ++b) {
    const OracleBlock block = EncodeByTrying(&values[16 * b], g);
    ASSERT_EQ(encoded.block_scales[b], block.scale) << "block " << b;
    for (size_t i = 0; i < 16; ++i) {
      const int code = std::to_integer<int>(encoded.codes[8 * b + i / 2]) >> (4 * (i % 2)) & 15;
      ASSERT_EQ(code, block.codes[i]) << "block " << b << ", value " << i;
      const double decoded = (code & 8 ? -1 : 1) * E2m1Value(code & 7) * E4m3Value(block.scale) * g;
      error_squares += std::pow(decoded - values[16 * b + i], 2);
      squares += std::pow(double{values[16 * b + i]}, 2);
    }
  }
  // The product decodes in fp32: each value within 2^-23 of the exact product, relative.
  EXPECT_NEAR(encoded.error_squares, error_squares, 1e-6 * squares);
  EXPECT_NEAR(encoded.squares, squares, 1e-12 * squares);
}

TEST(EncodedWeight, IsWhatTryingAllCodesGives) {
  for (const float sigma : {0.02f, 1.0f, 300.0f}) {
    std::vector<float> values = Normals(48 * 64, sigma, 1);
    // Blocks of all sizes down to where the block scale has no bits left.
    for (size_t i = 0; i < values.size(); ++i) values[i] *= std::exp2f(-static_cast<float>(i / 64));
    ExpectLikeOracle(values, 64, RtnGlobalScale(WeightAmax(View(values, 64), 1)));
  }
}

// With g = 1/64 and integers, quotients land on the borders between codes exactly.
TEST(EncodedWeight, BreaksTiesToTheEvenCode) {
  std::vector<float> values;
  for (int largest = 6; largest <= 96; largest += 6) {
    for (int i = 0; i < 15; ++i)
      values.push_back(static_cast<float>((i * 7 % (4 * largest)) - 2 * largest) / 4);
    values.push_back(static_cast<float>(largest));
  }
  ExpectLikeOracle(values, 16, 1.0f / 64);
}

TEST(EncodedWeight, DoesNotDependOnThreads) {
  const std::vector<float> values = Normals(67 * 48, 0.05f, 3);
  const LinearWeight weight = View(values, 48);
  const float g = RtnGlobalScale(WeightAmax(weight, 1));
  const EncodedWeight one = EncodeRtn(weight, g, 1);
  for (const int num_threads : {2, 3, 8}) {
    EXPECT_EQ(WeightAmax(weight, num_threads), WeightAmax(weight, 1));
    const EncodedWeight other = EncodeRtn(weight, g, num_threads);
    EXPECT_EQ(other.codes, one.codes);
    EXPECT_EQ(other.block_scales, one.block_scales);
    EXPECT_EQ(other.error_squares, one.error_squares);
    EXPECT_EQ(other.squares, one.squares);
  }
}

TEST(EncodedWeight, OfZerosIsZeroWithAUsableScale) {
  const std::vector<float> zeros(32 * 16, 0.0f);
  EXPECT_EQ(WeightAmax(View(zeros, 16), 2), 0);
  EXPECT_EQ(RtnGlobalScale(0), 1);
  const EncodedWeight encoded = EncodeRtn(View(zeros, 16), 1, 2);
  for (const std::byte code : encoded.codes) EXPECT_EQ(code, std::byte{0});
  EXPECT_EQ(encoded.error_squares, 0);
}

// amax / 2688 of these is no normal number, or one whose reciprocal is infinite.
TEST(EncodedWeight, OfTinyNumbersHasAUsableScale) {
  for (const float amax : {std::numeric_limits<float>::denorm_min(), 1e-40f, 1e-36f, 1e-34f}) {
    std::vector<float> values(16, 0.0f);
    values[3] = -amax;
    const float g = RtnGlobalScale(WeightAmax(View(values, 16), 1));
    EXPECT_GE(g, std::numeric_limits<float>::min());
    EXPECT_TRUE(std::isfinite(1 / g));
    const EncodedWeight encoded = EncodeRtn(View(values, 16), g, 1);
    EXPECT_LE(encoded.error_squares, double{amax} * double{amax});
  }
}

TEST(WeightAmax, RefusesWhatIsNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> values = Normals(16 * 16, 1, 5);
    values[77] = bad;
    try {
      WeightAmax(View(values, 16), 2);
      FAIL() << bad << " was accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("some.linear: has a weight that is NaN or infinite"));
    }
  }
}

TEST(WeightAmax, ReadsEveryDenseFormat) {
  const std::vector<float> values = {0.5f,  -1.25f, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -3.5f,
                                     0.25f, 0,      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  std::vector<uint16_t> bf16, fp16;
  for (const float x : values) {
    bf16.push_back(BFloat16::Encode(x).bits);
    // All of these are normal binary16 numbers or zero: exponent minus 112, mantissa cut to 10 zero-padded
    // bits.
    const uint32_t bits = FloatBits(x);
    const uint32_t magnitude = x == 0 ? 0 : ((bits & 0x7FFFFFFFu) >> 13) - (112u << 10);
    fp16.push_back(static_cast<uint16_t>((bits >> 16 & 0x8000u) | magnitude));
  }
  const LinearWeight single = View(values, 16);
  LinearWeight brain = single, half = single;
  brain.format = WeightFormat::kBf16;
  brain.values = std::as_bytes(std::span(bf16));
  half.format = WeightFormat::kFp16;
  half.values = std::as_bytes(std::span(fp16));
  const EncodedWeight expected = EncodeRtn(single, 0.01f, 1);
  for (const LinearWeight& weight : {single, brain, half}) {
    EXPECT_EQ(WeightAmax(weight, 1), 3.5f);
    EXPECT_EQ(EncodeRtn(weight, 0.01f, 1).codes, expected.codes);
  }
}

// --- The error on normal weights

// E[(Q(x) - x)^2] / E[x^2] of standard normal blocks of 16 under the global scale g. The block's largest
// magnitude M has the density 16 f(M) F(M)^15, f and F being density and distribution of |x|; it fixes the
// step s = E4M3(M / 6 / g) g, and the other 15 are distributed as f / F(M) on [0, M]. Both integrals by sums.
double ExpectedRelativeSquaredError(double g) {
  constexpr double kDx = 0.002, kDm = 0.01, kLargest = 6.5;
  const auto density = [](double x) { return std::sqrt(2 / std::numbers::pi) * std::exp(-x * x / 2); };
  const auto squared_error = [](double x, double s) {
    return std::pow(E2m1Value(NearestCode(x / s, 0, 7, E2m1Value)) * s - x, 2);
  };
  double error = 0;
  for (double m = kDm / 2; m < kLargest; m += kDm) {
    const double distribution = std::erf(m / std::numbers::sqrt2);
    const double s = E4m3Value(NearestCode(m / 6 / g, 1, 0x7E, E4m3Value)) * g;
    double others = 0;
    for (double x = kDx / 2; x < m; x += kDx) others += squared_error(x, s) * density(x) * kDx;
    error += kDm * 16 * density(m) * std::pow(distribution, 15) *
             (15 * others / distribution + squared_error(m, s));
  }
  return error / 16;
}

TEST(EncodedWeight, LosesOnNormalWeightsWhatTheorySays) {
  const std::vector<float> values = Normals(size_t{1024} * 1024, 1, 7);
  const LinearWeight weight = View(values, 1024);
  const float g = RtnGlobalScale(WeightAmax(weight, 2));
  const EncodedWeight encoded = EncodeRtn(weight, g, 2);
  const double measured = encoded.error_squares / encoded.squares;
  const double expected = ExpectedRelativeSquaredError(g);
  // A million values: the squared error's standard deviation is about twice its mean (uniform errors over
  // steps of very different width), so the mean's is 0.2 %; 1 % is five of those.
  EXPECT_NEAR(measured, expected, 0.01 * expected);
  // The number that docs/quantization.md states: 0.0090, so 9.5 % of the norm.
  EXPECT_NEAR(expected, 0.00905, 0.0002);
}

// --- FP8

// With a scale for all rows and with one a row, against the oracle; rows of zeros and of tiny numbers too.
TEST(EncodedFp8, IsWhatTryingAllCodesGives) {
  constexpr int64_t kK = 48;
  std::vector<float> values = Normals(5 * kK, 0.3f, 17);
  std::fill(values.begin(), values.begin() + kK, 0.0f);
  for (size_t i = kK; i < 2 * kK; ++i) values[i] *= 1e-38f;
  const LinearWeight weight = View(values, kK);
  const std::vector<float> amax = RowAmax(weight, 2);
  ASSERT_EQ(amax.size(), 5u);
  for (const bool has_one : {false, true}) {
    std::vector<float> scales;
    for (const float a : amax) scales.push_back(RtnFp8Scale(a));
    if (has_one) scales = {RtnFp8Scale(WeightAmax(weight, 1))};
    const EncodedWeight encoded = EncodeFp8(weight, scales, 1);
    ASSERT_EQ(encoded.codes.size(), values.size());
    EXPECT_TRUE(encoded.block_scales.empty());
    double error = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const float scale = scales[has_one ? 0 : i / kK], x = values[i] / scale;
      const int code = NearestCode(std::fabs(x), 0, 0x7E, E4m3Value);
      const auto got = static_cast<int>(encoded.codes[i]);
      ASSERT_EQ(got & 0x7F, code) << i;
      if (code != 0) {
        EXPECT_EQ((got & 0x80) != 0, std::signbit(x)) << i;
      }
      error += std::pow(E4m3Value(code) * scale - std::fabs(values[i]), 2);
    }
    EXPECT_NEAR(encoded.error_squares, error, 1e-5 * error);
    const EncodedWeight other = EncodeFp8(weight, scales, 3);
    EXPECT_EQ(other.codes, encoded.codes);
    EXPECT_EQ(other.error_squares, encoded.error_squares);
  }
}

TEST(EncodedFp8, LosesOnNormalWeightsWhatTheorySays) {
  const std::vector<float> values = Normals(size_t{1024} * 1024, 1, 7);
  const LinearWeight weight = View(values, 1024);
  const float scale = RtnFp8Scale(WeightAmax(weight, 2));
  const EncodedWeight encoded = EncodeFp8(weight, {&scale, 1}, 2);
  constexpr double kDx = 0.002, kLargest = 6.5;
  double expected = 0;
  for (double x = kDx / 2; x < kLargest; x += kDx) {
    const double error = E4m3Value(NearestCode(x / scale, 0, 0x7E, E4m3Value)) * scale - x;
    expected += std::sqrt(2 / std::numbers::pi) * std::exp(-x * x / 2) * error * error * kDx;
  }
  EXPECT_NEAR(encoded.error_squares / encoded.squares, expected, 0.01 * expected);
  EXPECT_NEAR(std::sqrt(expected), 0.026, 0.001);  // as docs/quantization.md states
}

TEST(QuantizeMethods, AreFoundByName) {
  for (const QuantizeMethod& method : AllQuantizeMethods())
    EXPECT_EQ(&FindQuantizeMethod(std::string(method.name)), &method);
  EXPECT_THROW(FindQuantizeMethod("best"), Error);
}

}  // namespace
}  // namespace fourstep
