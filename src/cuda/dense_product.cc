#include "cuda/dense_product.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "cuda/cublas.h"
#include "cuda/device.h"
#include "cuda/stream_clock.h"

namespace fourstep {
namespace {

constexpr char kWhat[] = "a product in BF16";

// `num_copies` of `values`, one after the other.
cuda::DeviceArray<BFloat16> CopiesOf(std::span<const BFloat16> values, int32_t num_copies) {
  cuda::DeviceArray<BFloat16> copies(values.size() * static_cast<size_t>(num_copies), kWhat);
  FOURSTEP_CUDA(cudaMemcpy(copies.data(), values.data(), values.size_bytes(), cudaMemcpyHostToDevice));
  for (size_t first = values.size(); first < copies.size(); first += values.size())
    FOURSTEP_CUDA(
        cudaMemcpy(copies.data() + first, copies.data(), values.size_bytes(), cudaMemcpyDeviceToDevice));
  FOURSTEP_CUDA(cudaStreamSynchronize(nullptr));
  return copies;
}

}  // namespace

std::string WhyNoCudaProducts() {
  try {
    const cuda::StreamClock clock;
    const cuda::Cublas cublas(clock.stream());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::optional<double> MeasureCudaProductUs(int64_t inputs, std::span<const BFloat16> weight,
                                           std::span<const BFloat16> x, int32_t num_copies,
                                           std::span<BFloat16> y) {
  const auto outputs = static_cast<int64_t>(weight.size()) / inputs;
  const auto batch = static_cast<int64_t>(x.size()) / inputs;
  FOURSTEP_CHECK(num_copies > 0 && static_cast<int64_t>(weight.size()) == outputs * inputs &&
                 static_cast<int64_t>(x.size()) == batch * inputs &&
                 static_cast<int64_t>(y.size()) == batch * outputs);
  try {
    cuda::StreamClock clock;
    const cuda::Cublas cublas(clock.stream());
    const cuda::DeviceArray<BFloat16> weights = CopiesOf(weight, num_copies), rows(x, kWhat);
    const cuda::DeviceArray<BFloat16> products(y.size(), kWhat);
    const auto multiply_all = [&] {
      for (int32_t copy = 0; copy < num_copies; ++copy)
        cublas.Multiply(products.data(), rows.data(), weights.data() + copy * outputs * inputs, outputs,
                        inputs, batch);
    };
    // The library loads a kernel when it is used first, which must not be while the stream captures.
    (void)clock.Microseconds(multiply_all);
    const double us = clock.MedianUsOfPass(multiply_all) / num_copies;
    const std::vector<BFloat16> read = products.Read(products.size());
    std::copy(read.begin(), read.end(), y.begin());
    return us;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace fourstep
