#include "eval/entropy_calibration.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace fourstep {

double Percentile(std::vector<float> values, double percentile) {
  FOURSTEP_CHECK(!values.empty() && percentile >= 0 && percentile <= 100, "percentile {} of {} values",
                 percentile, values.size());
  std::sort(values.begin(), values.end());
  const double place = percentile / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (double{values[above]} - values[below]);
}

EntropyCalibration CalibrateEntropy(Engine& engine, std::span<const std::string> problems,
                                    const EntropyCalibrationOptions& options,
                                    const std::function<void(size_t, size_t)>& progress) {
  if (problems.empty()) throw Error("calibration", "has no problems, expected one or more");
  for (size_t i = 0; i < problems.size(); ++i) {
    Request request;
    request.messages = {{.role = "user", .content = problems[i], .reasoning = {}}};
    request.sampling.policy = "fixed";
    request.sampling.temperature = options.temperature;
    request.sampling.top_p = options.top_p;
    request.sampling.seed = options.seed + i;
    request.max_tokens = options.max_tokens;
    engine.Submit(request);
  }
  EntropyCalibration result;
  std::vector<float> entropies;
  while (!engine.idle()) {
    for (const Event& event : engine.Step()) {
      if (event.finish == FinishReason::kError) throw Error("calibration", event.error);
      if (event.token >= 0) entropies.push_back(event.entropy);
      if (event.finish == FinishReason::kNone) continue;
      ++result.num_answers;
      result.num_cut += event.finish == FinishReason::kLength ? 1 : 0;
      if (progress) progress(static_cast<size_t>(result.num_answers), problems.size());
    }
  }
  // In an order of their own, so that the mean does not depend on how answers were interleaved.
  std::sort(entropies.begin(), entropies.end());
  result.num_tokens = static_cast<int64_t>(entropies.size());
  result.mean_entropy =
      std::accumulate(entropies.begin(), entropies.end(), 0.0) / static_cast<double>(entropies.size());
  result.tau_0 = Percentile(entropies, options.percentile);
  result.entropies = std::move(entropies);
  return result;
}

}  // namespace fourstep
