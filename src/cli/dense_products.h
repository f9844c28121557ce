// What the library of a device's vendor takes for a projection's product in BF16, whatever the format of the
// projection's own weights.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "formats/bfloat16.h"

namespace fourstep::cli {

class DenseProducts {
 public:
  // Microseconds of y [batch, outputs] = weight [outputs, inputs] times x [batch, inputs], with copies of the
  // weight in turn; writes y. Nothing where it cannot be measured.
  using Measure = std::function<std::optional<double>(int64_t inputs, std::span<const BFloat16> weight,
                                                      std::span<const BFloat16> x, int32_t copies,
                                                      std::span<BFloat16> y)>;

  // Without `measure` there is nothing of any shape.
  DenseProducts(Measure measure, std::vector<int32_t> batches);

  // For each of the batches, on random values: measured when a shape is asked for first. Throws
  // std::runtime_error where a product is wrong.
  const std::vector<std::optional<double>>& Us(int64_t outputs, int64_t inputs, int32_t copies);

 private:
  std::vector<std::optional<double>> MeasureAll(int64_t outputs, int64_t inputs, int32_t copies) const;

  const Measure measure_;
  const std::vector<int32_t> batches_;
  std::map<std::pair<int64_t, int64_t>, std::vector<std::optional<double>>> us_;  // of outputs and inputs
};

}  // namespace fourstep::cli
