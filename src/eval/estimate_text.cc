#include "eval/estimate_text.h"

#include <fmt/format.h>

namespace fourstep {

Json EstimateJson(const Estimate& estimate) {
  return {{"mean", estimate.mean}, {"low", estimate.low}, {"high", estimate.high}};
}

std::string PercentText(const Estimate& accuracy) {
  return fmt::format("{:5.1f} [{:.1f}, {:.1f}]", 100 * accuracy.mean, 100 * accuracy.low,
                     100 * accuracy.high);
}

std::string PointsText(const Estimate& difference) {
  return fmt::format("{:+5.1f} [{:+.1f}, {:+.1f}]", 100 * difference.mean, 100 * difference.low,
                     100 * difference.high);
}

}  // namespace fourstep
