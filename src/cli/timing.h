// Wall-clock times of work that is repeated.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace fourstep::cli {

using Clock = std::chrono::steady_clock;

inline double MicrosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// Of repeated measurements of one thing.
struct Spread {
  double median = 0, lowest = 0, highest = 0;
};

// `values` must not be empty.
inline Spread SpreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

}  // namespace fourstep::cli
