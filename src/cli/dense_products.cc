#include "cli/dense_products.h"

#include <fmt/format.h>

#include "base/philox.h"
#include "cli/projection_check.h"

namespace fourstep::cli {
namespace {

// Signs and mantissas at random, magnitudes of 2^exponent to 2^(exponent + 1).
std::vector<BFloat16> RandomValues(int64_t count, int exponent, uint64_t seed) {
  constexpr int kValuesADraw = 8;
  const uint32_t fixed = static_cast<uint32_t>(exponent + 127) << 7;
  std::vector<BFloat16> values(static_cast<size_t>(count));
  Philox4 draw{};
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t part = i % kValuesADraw;
    if (part == 0) draw = Philox(seed, i / kValuesADraw);
    const uint32_t bits = draw.v[part / 2] >> 16 * (part % 2);
    values[i] = {static_cast<uint16_t>((bits & 0x807Fu) | fixed)};
  }
  return values;
}

std::vector<float> Decoded(std::span<const BFloat16> values) {
  std::vector<float> decoded;
  for (const BFloat16 value : values) decoded.push_back(BFloat16::Decode(value));
  return decoded;
}

// Every row of y = weight times x.
void CheckProduct(int64_t inputs, std::span<const BFloat16> weight, std::span<const BFloat16> x,
                  std::span<const BFloat16> y) {
  LinearWeight linear;
  linear.name = "random";
  linear.k = inputs;
  linear.n = static_cast<int64_t>(weight.size()) / inputs;
  linear.values = std::as_bytes(weight);
  const Projection projection{.name = "the dense product",
                              .use = LinearUse::kPlain,
                              .numerics = Numerics::kBf16,
                              .weights = {linear},
                              .consumer = {}};
  const auto k = static_cast<size_t>(linear.k), n = static_cast<size_t>(linear.n);
  for (size_t row = 0; row < x.size() / k; ++row) {
    CheckProjectionRow(
        projection,
        {.input = Decoded(x.subspan(row * k, k)), .residual = {}, .output = Decoded(y.subspan(row * n, n))},
        fmt::format("the BF16 product of {} x {}, row {}", n, k, row));
  }
}

}  // namespace

DenseProducts::DenseProducts(Measure measure, std::vector<int32_t> batches)
    : measure_(std::move(measure)), batches_(std::move(batches)) {}

const std::vector<std::optional<double>>& DenseProducts::Us(int64_t outputs, int64_t inputs, int32_t copies) {
  const auto [at, is_new] = us_.try_emplace({outputs, inputs}, batches_.size());
  if (is_new && measure_) at->second = MeasureAll(outputs, inputs, copies);
  return at->second;
}

std::vector<std::optional<double>> DenseProducts::MeasureAll(int64_t outputs, int64_t inputs,
                                                             int32_t copies) const {
  // Weights of about what a matrix of 4096 inputs has.
  const std::vector<BFloat16> weight = RandomValues(outputs * inputs, -6, 1);
  std::vector<std::optional<double>> us;
  for (const int32_t batch : batches_) {
    const std::vector<BFloat16> x = RandomValues(batch * inputs, 0, 2);
    std::vector<BFloat16> y(static_cast<size_t>(batch * outputs));
    us.push_back(measure_(inputs, weight, x, copies, y));
    if (us.back()) CheckProduct(inputs, weight, x, y);
  }
  return us;
}

}  // namespace fourstep::cli
