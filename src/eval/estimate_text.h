// Estimates as reports show them: accuracies in percent, differences in points.
#pragma once

#include <string>

#include "base/json.h"
#include "eval/statistics.h"

namespace fourstep {

Json EstimateJson(const Estimate& estimate);         // {"mean", "low", "high"}
std::string PercentText(const Estimate& accuracy);   // " 71.2 [69.9, 72.4]"
std::string PointsText(const Estimate& difference);  // " +1.3 [+0.2, +2.4]"

}  // namespace fourstep
