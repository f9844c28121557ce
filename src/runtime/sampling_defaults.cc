#include "runtime/sampling_defaults.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <system_error>

#include "base/error.h"
#include "runtime/answer_patterns.h"
#include "sampling/params.h"
#include "sampling/presets.h"
#include "sampling/reset_file.h"

namespace fourstep {
namespace {

// The parameters that belong to one policy, as the request names them.
struct OwnedField {
  const char* name;
  PolicyKind owner;
  bool is_given;
};

std::vector<OwnedField> OwnedFields(const Sampling& s) {
  return {{"temperature", PolicyKind::kFixed, s.temperature.has_value()},
          {"t_high", PolicyKind::kReset, s.t_high.has_value()},
          {"t_low", PolicyKind::kReset, s.t_low.has_value()},
          {"tau_0", PolicyKind::kReset, s.tau_0.has_value()},
          {"window", PolicyKind::kReset, s.window.has_value()},
          {"token_gate_only", PolicyKind::kReset, s.token_gate_only},
          {"step_estimator", PolicyKind::kReset, !s.step_estimator.empty()},
          {"dynatemp_low", PolicyKind::kDynatemp, s.dynatemp_low.has_value()},
          {"dynatemp_high", PolicyKind::kDynatemp, s.dynatemp_high.has_value()},
          {"dynatemp_exponent", PolicyKind::kDynatemp, s.dynatemp_exponent.has_value()}};
}

PolicyKind ChoosePolicy(const Sampling& request, const std::vector<OwnedField>& fields, bool knows_reset) {
  if (!request.policy.empty()) return ParsePolicyKind(request.policy, "policy");
  for (const OwnedField& field : fields) {
    if (field.is_given) return field.owner;
  }
  return knows_reset ? PolicyKind::kReset : PolicyKind::kFixed;
}

// A value beyond the floats becomes an infinity, which no range has.
template <class To, class From>
void Override(To& to, const std::optional<From>& from) {
  if (from) to = static_cast<To>(*from);
}

std::string DescribePolicy(const PolicyParams& policy) {
  switch (policy.kind) {
    case PolicyKind::kFixed:
      return fmt::format("fixed (T {:.4g})", policy.temperature);
    case PolicyKind::kGreedy:
      return "greedy";
    case PolicyKind::kDynatemp:
      return fmt::format("dynatemp (T {:.4g} to {:.4g}, exponent {:.4g})", policy.dynatemp_low,
                         policy.dynatemp_high, policy.dynatemp_exponent);
    case PolicyKind::kReset:
      break;
  }
  std::string text = fmt::format("reset (T_low {:.4g}, T_high {:.4g}, tau_0 {:.4g}, window {}", policy.t_low,
                                 policy.t_high, policy.tau_0, policy.window);
  if (policy.token_gate_only != 0) text += ", token gate only";
  if (policy.estimator != StepEstimator::kHybrid) {
    text += fmt::format(", step estimator {}", StepEstimatorName(policy.estimator));
  }
  return text + ")";
}

}  // namespace

SamplingDefaults SamplingDefaults::Load(const std::filesystem::path& folder,
                                        const GenerationConfig& generation) {
  SamplingDefaults defaults;
  SamplingParams& sampling = defaults.sampling;
  Override(sampling.policy.temperature, generation.temperature);
  Override(sampling.top_p, generation.top_p);
  Override(sampling.min_p, generation.min_p);
  Override(sampling.top_k, generation.top_k);
  Override(sampling.repetition_penalty, generation.repetition_penalty);
  ValidateSamplingParams(sampling, (folder / "generation_config.json").string());

  const std::filesystem::path file = folder / "reset.json";
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(folder, error).lexically_normal();
  if (std::filesystem::exists(std::filesystem::symlink_status(file, error))) {
    defaults.reset = ReadResetFile(file).policy();
  } else if (const ResetPreset* preset = FindResetPreset(absolute.string())) {
    defaults.reset = PolicyOfPreset(*preset);
  }
  return defaults;
}

SamplingParams SamplingDefaults::Resolve(const Sampling& request) const {
  const std::vector<OwnedField> fields = OwnedFields(request);
  const PolicyKind kind = ChoosePolicy(request, fields, reset.has_value());
  for (const OwnedField& field : fields) {
    if (field.is_given && field.owner != kind) {
      throw Errorf(field.name, "belongs to the policy {}, but the request's is {}",
                   PolicyKindName(field.owner), PolicyKindName(kind));
    }
  }
  SamplingParams params = sampling;
  PolicyParams& policy = params.policy;
  if (kind == PolicyKind::kReset) {
    if (reset) policy = *reset;
    if (!reset && !request.t_low) throw Error("t_low", "is not known for this model: give it, or calibrate");
    if (!reset && !request.tau_0) throw Error("tau_0", "is not known for this model: give it, or calibrate");
  }
  policy.kind = kind;
  Override(policy.temperature, request.temperature);
  Override(policy.t_high, request.t_high);
  Override(policy.t_low, request.t_low);
  Override(policy.tau_0, request.tau_0);
  Override(policy.window, request.window);
  policy.token_gate_only = request.token_gate_only ? 1 : 0;
  if (!request.step_estimator.empty()) {
    policy.estimator = ParseStepEstimator(request.step_estimator, "step_estimator");
  }
  Override(policy.dynatemp_low, request.dynatemp_low);
  Override(policy.dynatemp_high, request.dynatemp_high);
  Override(policy.dynatemp_exponent, request.dynatemp_exponent);
  Override(params.top_p, request.top_p);
  Override(params.min_p, request.min_p);
  Override(params.top_k, request.top_k);
  Override(params.repetition_penalty, request.repetition_penalty);
  Override(params.presence_penalty, request.presence_penalty);
  Override(params.frequency_penalty, request.frequency_penalty);
  params.top_logprobs = request.top_logprobs;
  params.seed = request.seed;
  ValidateSamplingParams(params, "sampling");
  return params;
}

std::string SamplingDefaults::Describe(const Sampling& request) const {
  const SamplingParams params = Resolve(request);
  std::string text = DescribePolicy(params.policy);
  if (params.top_p < 1) text += fmt::format(", top-p {:.4g}", params.top_p);
  if (params.top_k > 0) text += fmt::format(", top-k {}", params.top_k);
  if (params.min_p > 0) text += fmt::format(", min-p {:.4g}", params.min_p);
  if (params.repetition_penalty != 1)
    text += fmt::format(", repetition penalty {:.4g}", params.repetition_penalty);
  if (params.presence_penalty != 0) text += fmt::format(", presence penalty {:.4g}", params.presence_penalty);
  if (params.frequency_penalty != 0)
    text += fmt::format(", frequency penalty {:.4g}", params.frequency_penalty);
  return text;
}

std::vector<TokenBias> ResolveLogitBias(const Sampling& request, int32_t vocab_size) {
  constexpr size_t kMaxEntries = 1024;
  if (request.logit_bias.size() > kMaxEntries)
    throw Errorf("logit_bias", "has {} entries, expected at most {}", request.logit_bias.size(), kMaxEntries);
  std::vector<TokenBias> biases;
  for (const LogitBias& entry : request.logit_bias) {
    if (entry.token < 0 || entry.token >= vocab_size)
      throw Errorf("logit_bias", "token {} is none of the model's, expected 0..{}", entry.token,
                   vocab_size - 1);
    if (!(entry.bias >= kBan && entry.bias <= kMaxBias))
      throw Errorf("logit_bias", "bias of token {} is {:.6g}, expected {}..{}", entry.token, entry.bias, kBan,
                   kMaxBias);
    biases.push_back({entry.token, static_cast<float>(entry.bias)});
  }
  std::sort(biases.begin(), biases.end(),
            [](const TokenBias& a, const TokenBias& b) { return a.token < b.token; });
  for (size_t i = 1; i < biases.size(); ++i) {
    if (biases[i].token == biases[i - 1].token)
      throw Errorf("logit_bias", "has token {} twice", biases[i].token);
  }
  return biases;
}

void CheckSampling(const Sampling& sampling) {
  SamplingDefaults of_some_model;
  of_some_model.reset.emplace();
  (void)of_some_model.Resolve(sampling);
  (void)ResolveLogitBias(sampling, INT32_MAX);
  CheckPattern(sampling);
}

}  // namespace fourstep
