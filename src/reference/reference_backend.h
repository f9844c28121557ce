// The reference backend: every operation of backend.h in plain loops with double accumulation and one
// rounding at the output. It is the specification that other backends are tested against, and runs anywhere.
#pragma once

#include <cstdint>
#include <memory>

#include "backend/backend.h"

namespace fourstep {

struct ReferenceOptions {
  int32_t max_rows = 256;  // rows of one step, 1..
};

// Throws Error where max_rows is out of range.
std::unique_ptr<Backend> MakeReferenceBackend(const ReferenceOptions& options);

}  // namespace fourstep
