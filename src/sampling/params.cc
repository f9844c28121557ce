#include "sampling/params.h"

#include <fmt/format.h>

#include <iterator>

#include "base/error.h"
#include "sampling/reset_policy.h"

namespace fourstep {
namespace {

// In the order of the enumerations.
constexpr std::string_view kPolicyKinds[] = {"fixed", "greedy", "reset", "dynatemp"};
constexpr std::string_view kStepEstimators[] = {"hybrid", "causal-mean", "ema-from-window", "ema-from-first"};

template <class Enum, size_t n>
Enum Parse(const std::string_view (&names)[n], std::string_view name, const std::string& where) {
  for (size_t i = 0; i < n; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  throw Errorf(where, "\"{}\" is not one of {}", Printable(name), fmt::join(names, ", "));
}

void CheckRange(const std::string& where, const char* field, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    throw Errorf(where, "{} is {:.6g}, expected {}..{}", field, value, low, high);
  }
}

}  // namespace

std::string_view PolicyKindName(PolicyKind kind) {
  return kPolicyKinds[static_cast<int>(kind)];
}
PolicyKind ParsePolicyKind(std::string_view name, const std::string& where) {
  return Parse<PolicyKind>(kPolicyKinds, name, where);
}
std::string_view StepEstimatorName(StepEstimator estimator) {
  return kStepEstimators[static_cast<int>(estimator)];
}
StepEstimator ParseStepEstimator(std::string_view name, const std::string& where) {
  return Parse<StepEstimator>(kStepEstimators, name, where);
}

void ValidateSamplingParams(const SamplingParams& params, const std::string& where) {
  const PolicyParams& policy = params.policy;
  const auto check_enum = [&](const char* field, auto value, size_t count) {
    CheckRange(where, field, static_cast<double>(value), 0, static_cast<double>(count) - 1);
  };
  check_enum("policy", policy.kind, std::size(kPolicyKinds));
  check_enum("estimator", policy.estimator, std::size(kStepEstimators));
  CheckRange(where, "temperature", policy.temperature, 0, kMaxTemperature);
  CheckRange(where, "t_high", policy.t_high, 0, kMaxTemperature);
  CheckRange(where, "t_low", policy.t_low, 0, kMaxTemperature);
  CheckRange(where, "tau_0", policy.tau_0, 0, kMaxEntropy);
  CheckRange(where, "window", policy.window, 1, kMaxPolicyWindow);
  CheckRange(where, "ema_decay", policy.ema_decay, 0, 1);
  CheckRange(where, "dynatemp_low", policy.dynatemp_low, 0, kMaxTemperature);
  CheckRange(where, "dynatemp_high", policy.dynatemp_high, 0, kMaxTemperature);
  CheckRange(where, "dynatemp_exponent", policy.dynatemp_exponent, 0, 100);
  CheckRange(where, "top_k", params.top_k, 0, 2147483647.0);
  CheckRange(where, "top_p", params.top_p, 0, 1);
  CheckRange(where, "min_p", params.min_p, 0, 1);
  CheckRange(where, "repetition_penalty", params.repetition_penalty, kMinRepetitionPenalty,
             kMaxRepetitionPenalty);
  CheckRange(where, "presence_penalty", params.presence_penalty, -kMaxPenalty, kMaxPenalty);
  CheckRange(where, "frequency_penalty", params.frequency_penalty, -kMaxPenalty, kMaxPenalty);
  CheckRange(where, "top_logprobs", params.top_logprobs, 0, kMaxTopLogprobs);
}

}  // namespace fourstep
