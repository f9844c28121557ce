// The check of kernels' answers takes what is right and refuses what is not.
#include "cli/projection_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "backend/linear_stack.h"
#include "base/philox.h"
#include "formats/bfloat16.h"
#include "formats/nvfp4.h"
#include "model/published_shapes.h"
#include "model/random_decoder.h"

namespace fourstep::cli {
namespace {

std::vector<float> RandomRow(int64_t width, uint64_t seed) {
  PhiloxStream random(seed);
  std::vector<float> row;
  for (int64_t i = 0; i < width; ++i)
    row.push_back(RoundToBFloat16(static_cast<float>(4 * random.Uniform() - 2)));
  return row;
}

// In fp32, term by term: as a backend might.
std::vector<float> Multiply(const Projection& p, const std::vector<float>& input) {
  std::vector<float> sums;
  for (const LinearWeight& weight : p.weights) {
    std::vector<float> row(static_cast<size_t>(weight.k));
    for (int64_t n = 0; n < weight.n; ++n) {
      DecodeRow(weight, n, row.data());
      float sum = 0;
      for (size_t i = 0; i < row.size(); ++i) sum += row[i] * input[i];
      if (!weight.bias.empty()) sum += weight.bias[static_cast<size_t>(n)];
      sums.push_back(sum);
    }
  }
  return sums;
}

struct Row {
  std::vector<float> input, residual, output;
  ProjectionRow view() const { return {input, residual, output}; }
};

Row RightRow(const Projection& p) {
  Row row{.input = RandomRow(p.inputs(), 1), .residual = {}, .output = {}};
  const std::vector<float> sums = Multiply(p, row.input);
  if (p.use == LinearUse::kResidual) row.residual = RandomRow(p.outputs(), 2);
  const size_t n = p.use == LinearUse::kGated ? sums.size() / 2 : sums.size();
  for (size_t i = 0; i < n; ++i) {
    float y = sums[i];
    if (p.use == LinearUse::kResidual) y += row.residual[i];
    if (p.use == LinearUse::kGated) y = y / (1 + std::exp(-y)) * sums[n + i];
    row.output.push_back(p.use == LinearUse::kHead ? y : RoundToBFloat16(y));
  }
  return row;
}

void ExpectRefused(const Projection& p, const Row& row) {
  try {
    CheckProjectionRow(p, row.view(), "here");
    FAIL() << p.name;
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("here: ")) << p.name;
  }
}

class ProjectionCheck : public testing::TestWithParam<std::tuple<const char*, Numerics>> {
 protected:
  static void ExpectRightRowsOnly(const Projection& p) {
    const Row right = RightRow(p);
    EXPECT_NO_THROW(CheckProjectionRow(p, right.view(), "here")) << p.name;
    for (const float factor : {1.25f, -1.0f, 0.0f, std::numeric_limits<float>::quiet_NaN()}) {
      Row wrong = right;
      for (float& y : wrong.output) y *= factor;
      ExpectRefused(p, wrong);
    }
    Row shifted = right;
    std::rotate(shifted.output.begin(), shifted.output.begin() + 1, shifted.output.end());
    ExpectRefused(p, shifted);
    Row cut = right;
    cut.output.pop_back();
    ExpectRefused(p, cut);
  }
};

TEST_P(ProjectionCheck, TakesRightRowsOnly) {
  const auto& [name, numerics] = GetParam();
  HfConfig shape = PublishedShape(name);
  shape.num_layers = 1;
  shape.vocab_size = 1024;  // a head of another size tests nothing else
  for (const WeightFormat head : {WeightFormat::kBf16, WeightFormat::kFp8}) {
    const RandomDecoderWeights weights(shape, numerics, head);
    for (const Projection& p : ProjectionsOf(weights.view(), numerics)) {
      if (head == WeightFormat::kBf16 || p.use == LinearUse::kHead) ExpectRightRowsOnly(p);
      if (p.use == LinearUse::kHead) {
        EXPECT_EQ(p.numerics, Numerics::kBf16);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ProjectionCheck,
                         testing::Values(std::tuple{"abacus", Numerics::kW4A4},
                                         std::tuple{"abacus", Numerics::kW4A16},
                                         std::tuple{"abacus", Numerics::kBf16},
                                         std::tuple{"r1-qwen-7b", Numerics::kBf16}));  // with biases

TEST(EncodedRowCheck, TakesWhatTheFormatGivesOnly) {
  const std::vector<float> plain = RandomRow(64, 3);
  const float input_scale = NvFp4::GlobalScale(8);
  std::vector<float> encoded(plain.size());
  for (size_t i = 0; i < plain.size(); i += 16)
    NvFp4::Decode(NvFp4::EncodeActivation(&plain[i], 1 / input_scale), input_scale, &encoded[i]);
  EXPECT_NO_THROW(CheckEncodedRow(plain, encoded, input_scale, "here"));
  encoded[37] *= 1.001f;
  EXPECT_THROW(CheckEncodedRow(plain, encoded, input_scale, "here"), std::runtime_error);
  EXPECT_THROW(CheckEncodedRow(plain, plain, input_scale, "here"), std::runtime_error);
}

}  // namespace
}  // namespace fourstep::cli
