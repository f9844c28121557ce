// Whether a backend's outputs of a projection are right: against products in double precision.
#pragma once

#include <span>
#include <string>

#include "cli/projection.h"

namespace fourstep::cli {

// One row of a projection as a backend read and wrote it: all values decoded.
struct ProjectionRow {
  std::span<const float> input;     // [inputs]
  std::span<const float> residual;  // [outputs] of kResidual: what it was added to
  std::span<const float> output;    // [outputs]; half as many of kGated; BF16 but for kHead
};

// A few dozen outputs, spread over all. The tolerance is docs/numerics.md's, with the sum of the magnitudes
// of an output's own terms. Throws std::runtime_error that names `where` and the output.
void CheckProjectionRow(const Projection& projection, const ProjectionRow& row, const std::string& where);

// That `encoded` is `plain`, BF16, as a 4-bit linear of that input scale reads it. Throws likewise.
void CheckEncodedRow(std::span<const float> plain, std::span<const float> encoded, float input_scale,
                     const std::string& where);

}  // namespace fourstep::cli
