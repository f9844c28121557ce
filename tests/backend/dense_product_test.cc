// Products by cuBLAS, on machines that have a GPU and the library; elsewhere, that they are refused in words.
#include "cuda/dense_product.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "cuda/cublas.h"
#include "cuda/cuda_backend.h"

namespace fourstep {
namespace {

TEST(CudaProduct, NeedsADevice) {
  if (CountCudaDevices() > 0) GTEST_SKIP() << "there is a GPU";
  try {
    const cuda::Cublas cublas(nullptr);
    FAIL() << "a handle without a device";
  } catch (const Error& error) {
    EXPECT_EQ(error.where(), "cuBLAS") << error.what();
    EXPECT_GT(std::string(error.what()).size(), error.where().size() + 2);
  }
}

// Small whole numbers, whose sums are exact.
std::vector<BFloat16> WholeNumbers(int64_t count, int modulus) {
  std::vector<BFloat16> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(BFloat16::Encode(static_cast<float>(i * i % modulus - modulus / 2)));
  return values;
}

TEST(CudaProduct, IsTheProduct) {
  if (CountCudaDevices() == 0) GTEST_SKIP() << "there is no GPU";
  if (const std::string why = WhyNoCudaProducts(); !why.empty()) GTEST_SKIP() << why;
  constexpr int64_t kOutputs = 192, kInputs = 64;
  const std::vector<BFloat16> weight = WholeNumbers(kOutputs * kInputs, 3);
  for (const int64_t batch : {1, 3, 8}) {
    const std::vector<BFloat16> x = WholeNumbers(batch * kInputs, 5);
    std::vector<BFloat16> y(static_cast<size_t>(batch * kOutputs));
    const std::optional<double> us = MeasureCudaProductUs(kInputs, weight, x, 5, y);
    ASSERT_TRUE(us.has_value());
    EXPECT_GT(*us, 0);
    for (int64_t i = 0; i < batch * kOutputs; ++i) {
      const int64_t row = i / kOutputs, n = i % kOutputs;
      float sum = 0;
      for (int64_t k = 0; k < kInputs; ++k)
        sum += BFloat16::Decode(weight[static_cast<size_t>(n * kInputs + k)]) *
               BFloat16::Decode(x[static_cast<size_t>(row * kInputs + k)]);
      EXPECT_EQ(BFloat16::Decode(y[static_cast<size_t>(i)]), sum) << "row " << row << ", output " << n;
    }
  }
}

}  // namespace
}  // namespace fourstep
