#include "cli/projection_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "backend/linear_stack.h"
#include "formats/bfloat16.h"
#include "formats/nvfp4.h"

namespace fourstep::cli {
namespace {

constexpr double kEps = 0x1p-24, kBf16Rounding = 0x1p-8;

// y with the error that a backend's fp32 sum may have.
struct Sum {
  double y = 0, error = 0;
};

// Terms of the longest chain of additions, as the backends' tests have it, and a few roundings of scales.
double ChainOf(const Projection& p) {
  const auto k = static_cast<double>(p.inputs());
  return (p.numerics == Numerics::kW4A4 ? k / 16 : k / 4 + 8) + 4;
}

// Output `n` of `weight`, with its bias, added to `added`.
Sum Multiply(const Projection& p, const LinearWeight& weight, int64_t n, std::span<const float> input,
             double added) {
  constexpr double kC = 2;
  const bool is_rounded = p.numerics == Numerics::kBf16 && weight.format != WeightFormat::kFp8;
  std::vector<float> row(static_cast<size_t>(weight.k));
  DecodeRow(weight, n, row.data());
  double y = added, magnitudes = std::fabs(added);
  if (!weight.bias.empty()) {
    y += weight.bias[static_cast<size_t>(n)];
    magnitudes += std::fabs(weight.bias[static_cast<size_t>(n)]);
  }
  for (size_t i = 0; i < row.size(); ++i) {
    const float w = is_rounded ? RoundToBFloat16(row[i]) : row[i];
    const double product = double{w} * input[i];
    y += product;
    magnitudes += std::fabs(product);
  }
  return {y, kC * kEps * ChainOf(p) * magnitudes};
}

// silu(gate) * up: |silu(g)| <= |g|, |silu'| <= 1.1, and some sixteen roundings of the function itself.
Sum Gate(const Sum& gate, const Sum& up) {
  const double silu = gate.y / (1 + std::exp(-gate.y)), y = silu * up.y;
  const double silu_error = 1.1 * gate.error + 16 * kEps * std::fabs(silu);
  return {y, silu_error * (std::fabs(up.y) + up.error) + std::fabs(silu) * up.error};
}

// Output `n` of the stack.
Sum Expected(const Projection& p, const ProjectionRow& row, int64_t n) {
  if (p.use == LinearUse::kGated)
    return Gate(Multiply(p, p.weights[0], n, row.input, 0), Multiply(p, p.weights[1], n, row.input, 0));
  const double added = p.use == LinearUse::kResidual ? row.residual[static_cast<size_t>(n)] : 0;
  for (const LinearWeight& weight : p.weights) {
    if (n < weight.n) return Multiply(p, weight, n, row.input, added);
    n -= weight.n;
  }
  throw std::logic_error("an output beyond the stack");
}

}  // namespace

void CheckProjectionRow(const Projection& p, const ProjectionRow& row, const std::string& where) {
  constexpr int64_t kChecked = 48;
  const int64_t n = p.use == LinearUse::kGated ? p.outputs() / 2 : p.outputs();
  if (static_cast<int64_t>(row.output.size()) < n)
    throw std::runtime_error(fmt::format("{}: {} outputs, expected {}", where, row.output.size(), n));
  for (int64_t i = 0; i < kChecked; ++i) {
    const int64_t output = i * (n - 1) / (kChecked - 1);
    const Sum expected = Expected(p, row, output);
    const double got = row.output[static_cast<size_t>(output)];
    const double rounding = p.use == LinearUse::kHead ? 0 : kBf16Rounding;
    const double tolerance = expected.error + rounding * (std::fabs(expected.y) + expected.error);
    if (!(std::fabs(got - expected.y) <= tolerance))  // nor NaN
      throw std::runtime_error(fmt::format("{}: output {} is {:.9g}, expected {:.9g} within {:.2g}", where,
                                           output, got, expected.y, tolerance));
  }
}

void CheckEncodedRow(std::span<const float> plain, std::span<const float> encoded, float input_scale,
                     const std::string& where) {
  constexpr int64_t kValues = NvFp4::kBlockValues;
  for (size_t first = 0; first + kValues <= plain.size(); first += kValues) {
    float expected[kValues];
    NvFp4::Decode(NvFp4::EncodeActivation(plain.data() + first, 1 / input_scale), input_scale, expected);
    for (size_t i = 0; i < kValues; ++i) {
      // Backends multiply a code, its scale and the input scale in either order.
      if (!(std::fabs(encoded[first + i] - expected[i]) <= 2 * kEps * std::fabs(expected[i])))
        throw std::runtime_error(fmt::format("{}: output {} is encoded as {:.9g}, expected {:.9g}", where,
                                             first + i, encoded[first + i], expected[i]));
    }
  }
}

}  // namespace fourstep::cli
