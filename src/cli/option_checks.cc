#include "cli/option_checks.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

namespace fourstep::cli {

std::string SeedFault(const std::string& text) {
  uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error == std::errc() && end == text.data() + text.size()) return "";
  return fmt::format("Value {} is no integer from 0 to 2^64-1", text);
}

std::string NumberIn::operator()(const std::string& text) const {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (is_number && value >= low_ && value <= high_) return "";  // NaN is not
  return fmt::format("Value {} is no number from {} to {}", text, low_, high_);
}

}  // namespace fourstep::cli
