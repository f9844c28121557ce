// Formats of a head, as options name them.
#pragma once

#include <string>
#include <vector>

#include <fmt/ranges.h>

#include "base/error.h"
#include "formats/linear_weight.h"

namespace fourstep::cli {

inline constexpr WeightFormat kHeadFormats[] = {WeightFormat::kBf16, WeightFormat::kFp8,
                                                WeightFormat::kNvFp4};

inline std::vector<std::string> HeadFormatNames() {
  std::vector<std::string> names;
  for (const WeightFormat format : kHeadFormats) names.emplace_back(WeightFormatName(format));
  return names;
}

// Throws Error for any other name.
inline WeightFormat ParseHeadFormat(const std::string& name) {
  for (const WeightFormat format : kHeadFormats) {
    if (name == WeightFormatName(format)) return format;
  }
  throw Errorf("--head", "\"{}\" is not one of {}", Printable(name), fmt::join(HeadFormatNames(), ", "));
}

}  // namespace fourstep::cli
