#include "sampling/params.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

#include "base/error.h"
#include "sampling/presets.h"

namespace fourstep {
namespace {

TEST(Params, NamesRoundTrip) {
  for (const auto kind :
       {PolicyKind::kFixed, PolicyKind::kGreedy, PolicyKind::kReset, PolicyKind::kDynatemp}) {
    EXPECT_EQ(ParsePolicyKind(PolicyKindName(kind), "p"), kind);
  }
  for (const auto estimator : {StepEstimator::kHybrid, StepEstimator::kCausalMean,
                               StepEstimator::kEmaFromWindow, StepEstimator::kEmaFromFirst}) {
    EXPECT_EQ(ParseStepEstimator(StepEstimatorName(estimator), "e"), estimator);
  }
  try {
    ParsePolicyKind("Reset", "--policy");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "--policy: \"Reset\" is not one of fixed, greedy, reset, dynatemp");
  }
}

TEST(Params, RefusesWhatIsOutOfRangeByName) {
  ValidateSamplingParams({}, "request");
  const std::pair<const char*, std::function<void(SamplingParams&)>> bad[] = {
      {"temperature", [](auto& p) { p.policy.temperature = -0.1f; }},
      {"temperature", [](auto& p) { p.policy.temperature = NAN; }},
      {"t_high", [](auto& p) { p.policy.t_high = INFINITY; }},
      {"t_low", [](auto& p) { p.policy.t_low = -1; }},
      {"tau_0", [](auto& p) { p.policy.tau_0 = 65; }},
      {"window", [](auto& p) { p.policy.window = 0; }},
      {"window", [](auto& p) { p.policy.window = 65; }},
      {"ema_decay", [](auto& p) { p.policy.ema_decay = 1.5f; }},
      {"dynatemp_exponent", [](auto& p) { p.policy.dynatemp_exponent = -1; }},
      {"policy", [](auto& p) { p.policy.kind = static_cast<PolicyKind>(4); }},
      {"estimator", [](auto& p) { p.policy.estimator = static_cast<StepEstimator>(-1); }},
      {"top_k", [](auto& p) { p.top_k = -1; }},
      {"top_p", [](auto& p) { p.top_p = 1.01f; }},
      {"min_p", [](auto& p) { p.min_p = NAN; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = 0; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = INFINITY; }},
      {"presence_penalty", [](auto& p) { p.presence_penalty = 2.5f; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = NAN; }},
      {"top_logprobs", [](auto& p) { p.top_logprobs = 21; }},
      {"top_logprobs", [](auto& p) { p.top_logprobs = -1; }},
  };
  for (const auto& [field, spoil] : bad) {
    SamplingParams params;
    spoil(params);
    try {
      ValidateSamplingParams(params, "request");
      ADD_FAILURE() << field;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find(std::string("request: ") + field + " is "), 0u)
          << error.what();
    }
  }
}

TEST(Presets, AreFoundByTheModelsNameOnly) {
  std::set<std::string_view> names;
  for (const ResetPreset& preset : ResetPresets()) {
    names.insert(preset.model);
    EXPECT_EQ(FindResetPreset(preset.model), &preset);
    SamplingParams params;
    params.policy = PolicyOfPreset(preset);
    ValidateSamplingParams(params, "preset");
    EXPECT_EQ(params.policy.kind, PolicyKind::kReset);
  }
  EXPECT_EQ(names.size(), 5u);
  for (const char* name : {"Qwen/Qwen3-8B", "models/qwen3-8b-nvfp4/", "QWEN3-8B_W4A4-rtn"}) {
    const ResetPreset* preset = FindResetPreset(name);
    ASSERT_NE(preset, nullptr) << name;
    EXPECT_EQ(preset->model, "Qwen3-8B");
  }
  for (const char* name : {"", "/", "Qwen3-8B-Base", "Qwen3-8BX", "Qwen3-4B", "Qwen3-8B-", "my-Qwen3-8B"}) {
    EXPECT_EQ(FindResetPreset(name), nullptr) << name;
  }
}

}  // namespace
}  // namespace fourstep
