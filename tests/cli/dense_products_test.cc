// Products that kernels are compared with: each shape is measured once, and a wrong one is not taken.
#include "cli/dense_products.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace fourstep::cli {
namespace {

using testing::ElementsAre;
using testing::Optional;

// y = weight x of one row, in double.
void MultiplyRow(std::span<const BFloat16> weight, std::span<const BFloat16> x, std::span<BFloat16> y) {
  for (size_t n = 0; n < y.size(); ++n) {
    double sum = 0;
    for (size_t k = 0; k < x.size(); ++k)
      sum += double{BFloat16::Decode(weight[n * x.size() + k])} * BFloat16::Decode(x[k]);
    y[n] = BFloat16::Encode(static_cast<float>(sum));
  }
}

// A measure that computes on the host, is off by `factor` in the last row, and counts what it did.
struct HostProducts {
  float factor = 1;
  int measured = 0;

  DenseProducts::Measure measure() {
    return [this](int64_t inputs, std::span<const BFloat16> weight, std::span<const BFloat16> x,
                  int32_t copies, std::span<BFloat16> y) -> std::optional<double> {
      const auto k = static_cast<size_t>(inputs), n = weight.size() / k, rows = x.size() / k;
      EXPECT_EQ(y.size(), rows * n);
      for (size_t row = 0; row < rows; ++row)
        MultiplyRow(weight, x.subspan(row * k, k), y.subspan(row * n, n));
      for (BFloat16& value : y.last(n)) value = BFloat16::Encode(factor * BFloat16::Decode(value));
      ++measured;
      return static_cast<double>(100 * copies) + static_cast<double>(rows);
    };
  }
};

TEST(DenseProducts, MeasuresAShapeOnce) {
  HostProducts host;
  DenseProducts products(host.measure(), {3, 1});
  for (int time = 0; time < 2; ++time) {
    EXPECT_THAT(products.Us(96, 64, 2), ElementsAre(Optional(203.0), Optional(201.0)));
    EXPECT_EQ(host.measured, 2);
  }
  EXPECT_THAT(products.Us(64, 96, 5), ElementsAre(Optional(503.0), Optional(501.0)));
  EXPECT_EQ(host.measured, 4);
}

TEST(DenseProducts, RefusesWrongProducts) {
  for (const float factor : {1.02f, -1.0f, 0.0f}) {
    HostProducts host{.factor = factor};
    DenseProducts products(host.measure(), {2});
    EXPECT_THROW((void)products.Us(96, 64, 2), std::runtime_error) << factor;
  }
}

TEST(DenseProducts, HasNothingWhereNothingMeasures) {
  EXPECT_THAT(DenseProducts(nullptr, {1, 2}).Us(96, 64, 2), ElementsAre(std::nullopt, std::nullopt));
  const auto refuse = [](int64_t, std::span<const BFloat16>, std::span<const BFloat16>, int32_t,
                         std::span<BFloat16>) { return std::optional<double>(); };
  EXPECT_THAT(DenseProducts(refuse, {1}).Us(96, 64, 2), ElementsAre(std::nullopt));
}

}  // namespace
}  // namespace fourstep::cli
