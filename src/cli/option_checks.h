// What options must be, as CLI11 asks it: a check returns what is wrong with a text, or nothing.
#pragma once

#include <string>

namespace fourstep::cli {

// An integer of 0..2^64-1. Without it -1 would wrap around and 2^64 be cut.
std::string SeedFault(const std::string& text);

// A finite number within [low, high].
class NumberIn {
 public:
  NumberIn(double low, double high) : low_(low), high_(high) {}
  std::string operator()(const std::string& text) const;

 private:
  double low_, high_;
};

}  // namespace fourstep::cli
