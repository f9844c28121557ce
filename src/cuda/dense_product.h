// The time of a product in BF16 by the vendor's library: what a projection's kernels are compared with.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "formats/bfloat16.h"

namespace fourstep {

// Why device 0, which there must be, has no such products: that cuBLAS is not here, for people. Empty where
// it has.
std::string WhyNoCudaProducts();

// Microseconds that y [batch, outputs] = weight [outputs, inputs] times x [batch, inputs] takes on device 0
// by cuBLAS, summed in fp32: in a captured graph of such products back to back, each with the next of
// `num_copies` of the weight in turn; the median of several measurements. y is what the last one gave.
// Nothing where cuBLAS is not here or refuses, or the device has not enough memory free for the copies.
std::optional<double> MeasureCudaProductUs(int64_t inputs, std::span<const BFloat16> weight,
                                           std::span<const BFloat16> x, int32_t num_copies,
                                           std::span<BFloat16> y);

}  // namespace fourstep
