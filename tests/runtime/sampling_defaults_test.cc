// What a request's Sampling means for models about which more or less is known.
#include "runtime/sampling_defaults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "sampling/reset_file.h"

namespace fourstep {
namespace {

SamplingDefaults Knowing() {
  SamplingDefaults defaults;
  defaults.reset = PolicyParams{.kind = PolicyKind::kReset, .t_high = 1, .t_low = 0.1f, .tau_0 = 0.5f};
  return defaults;
}

TEST(SamplingDefaults, AnEmptyRequestIsTheModelsOwn) {
  const SamplingParams unknown = SamplingDefaults().Resolve({});
  EXPECT_EQ(unknown.policy.kind, PolicyKind::kFixed);
  EXPECT_EQ(unknown.policy.temperature, 0.6f);
  EXPECT_EQ(unknown.top_p, 0.95f);
  const SamplingParams known = Knowing().Resolve({.seed = 9});
  EXPECT_EQ(known.policy.kind, PolicyKind::kReset);
  EXPECT_EQ(known.policy.t_low, 0.1f);
  EXPECT_EQ(known.policy.tau_0, 0.5f);
  EXPECT_EQ(known.seed, 9u);
  EXPECT_EQ(SamplingDefaults().Describe(), "fixed (T 0.6), top-p 0.95");
  EXPECT_EQ(Knowing().Describe(), "reset (T_low 0.1, T_high 1, tau_0 0.5, window 32), top-p 0.95");
  EXPECT_EQ(
      Knowing().Describe(
          {.t_low = 0.2, .token_gate_only = true, .step_estimator = "causal-mean", .top_k = 5}),
      "reset (T_low 0.2, T_high 1, tau_0 0.5, window 32, token gate only, step estimator causal-mean), top-p "
      "0.95, top-k 5");
  EXPECT_EQ(Knowing().Describe({.policy = "greedy", .top_p = 1, .min_p = 0.1}), "greedy, min-p 0.1");
  EXPECT_EQ(Knowing().Describe({.dynatemp_low = 0.1, .dynatemp_high = 2, .dynatemp_exponent = 1}),
            "dynatemp (T 0.1 to 2, exponent 1), top-p 0.95");
  EXPECT_EQ(SamplingDefaults().Describe(
                {.repetition_penalty = 1.1, .presence_penalty = -1, .frequency_penalty = 0.5}),
            "fixed (T 0.6), top-p 0.95, repetition penalty 1.1, presence penalty -1, frequency penalty 0.5");
  EXPECT_THROW(SamplingDefaults().Describe({.policy = "reset"}), Error);
}

TEST(SamplingDefaults, LogitBiasIsOrderedByToken) {
  const std::vector<TokenBias> biases = ResolveLogitBias({.logit_bias = {{7, -100}, {0, 2.5}, {3, 100}}}, 8);
  ASSERT_EQ(biases.size(), 3u);
  EXPECT_EQ(biases[0].token, 0);
  EXPECT_EQ(biases[1].bias, kMaxBias);
  EXPECT_EQ(biases[2].bias, kBan);
}

TEST(SamplingDefaults, ParametersImplyTheirPolicy) {
  const SamplingParams fixed = Knowing().Resolve({.temperature = 0.7});
  EXPECT_EQ(fixed.policy.kind, PolicyKind::kFixed);
  EXPECT_EQ(fixed.policy.temperature, 0.7f);
  const SamplingParams dynatemp = Knowing().Resolve({.dynatemp_high = 1.5});
  EXPECT_EQ(dynatemp.policy.kind, PolicyKind::kDynatemp);
  EXPECT_EQ(dynatemp.policy.dynatemp_high, 1.5f);
  const SamplingParams reset =
      SamplingDefaults().Resolve({.t_low = 0.2, .tau_0 = 0.4, .window = 16, .token_gate_only = true});
  EXPECT_EQ(reset.policy.kind, PolicyKind::kReset);
  EXPECT_EQ(reset.policy.t_high, 1);
  EXPECT_EQ(reset.policy.t_low, 0.2f);
  EXPECT_EQ(reset.policy.window, 16);
  EXPECT_EQ(reset.policy.token_gate_only, 1);
  EXPECT_EQ(Knowing().Resolve({.step_estimator = "causal-mean"}).policy.estimator,
            StepEstimator::kCausalMean);
  // What acts after the policy goes with all of them.
  const SamplingParams greedy =
      Knowing().Resolve({.policy = "greedy", .top_p = 0.5, .min_p = 0.1, .top_k = 3});
  EXPECT_EQ(greedy.policy.kind, PolicyKind::kGreedy);
  EXPECT_EQ(greedy.top_p, 0.5f);
  EXPECT_EQ(greedy.min_p, 0.1f);
  EXPECT_EQ(greedy.top_k, 3);
}

TEST(SamplingDefaults, RefusesWithTheFieldsName) {
  struct Case {
    Sampling request;
    const char* message;
  };
  const double nan = std::nan("");
  const Case cases[] = {
      {{.policy = "warm"}, "policy: \"warm\" is not one of fixed, greedy, reset, dynatemp"},
      {{.policy = "reset", .temperature = 0.6}, "temperature: belongs to the policy fixed"},
      {{.policy = "greedy", .temperature = 0.6}, "temperature: belongs to the policy fixed"},
      {{.policy = "fixed", .t_low = 0.6}, "t_low: belongs to the policy reset"},
      {{.temperature = 0.6, .tau_0 = 0.5}, "tau_0: belongs to the policy reset"},
      {{.policy = "fixed", .token_gate_only = true}, "token_gate_only: belongs to the policy reset"},
      {{.policy = "reset", .dynatemp_exponent = 1}, "dynatemp_exponent: belongs to the policy dynatemp"},
      {{.step_estimator = "median"}, "step_estimator: \"median\" is not one of"},
      {{.temperature = -1}, "sampling: temperature is -1, expected 0..100"},
      {{.temperature = nan}, "sampling: temperature is nan"},
      {{.temperature = 1e300}, "sampling: temperature is inf"},
      {{.t_high = 101}, "sampling: t_high is 101"},
      {{.tau_0 = 65}, "sampling: tau_0 is 65, expected 0..64"},
      {{.window = 0}, "sampling: window is 0, expected 1..64"},
      {{.window = 65}, "sampling: window is 65"},
      {{.dynatemp_low = -0.5}, "sampling: dynatemp_low is -0.5"},
      {{.top_p = 1.01}, "sampling: top_p is 1.01, expected 0..1"},
      {{.min_p = -0.1}, "sampling: min_p is -0.1"},
      {{.top_k = -1}, "sampling: top_k is -1"},
  };
  for (const Case& c : cases) {
    try {
      Knowing().Resolve(c.request);
      ADD_FAILURE() << "not refused: " << c.message;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(c.message));
      EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
    }
  }
  EXPECT_THROW(SamplingDefaults().Resolve({.policy = "reset"}), Error);
  EXPECT_THROW(SamplingDefaults().Resolve({.policy = "reset", .t_low = 0.1}), Error);
  EXPECT_THROW(SamplingDefaults().Resolve({.tau_0 = 0.1}), Error);
}

class SamplingFolderTest : public testing::Test {
 protected:
  // "qwen3-8b-nvfp4" is a published model's name.
  std::filesystem::path parent_ = std::filesystem::path(testing::TempDir()) / "sampling_defaults_test";
  std::filesystem::path published_ = parent_ / "Qwen3-8B-NVFP4", other_ = parent_ / "Qwen3-8B-Base";

  void SetUp() override {
    std::filesystem::remove_all(parent_);
    std::filesystem::create_directories(published_);
    std::filesystem::create_directories(other_);
  }
  void TearDown() override { std::filesystem::remove_all(parent_); }
};

TEST_F(SamplingFolderTest, KnowsPublishedModelsByTheirNames) {
  EXPECT_FALSE(SamplingDefaults::Load(other_, {}).reset);
  EXPECT_EQ(SamplingDefaults::Load(published_, {}).reset.value().tau_0, 0.5505f);
  EXPECT_TRUE(SamplingDefaults::Load(published_ / "", {}).reset);
  EXPECT_TRUE(SamplingDefaults::Load(other_ / ".." / "Qwen3-8B-NVFP4" / ".", {}).reset);
}

TEST_F(SamplingFolderTest, AResetFileGoesBeforeThePreset) {
  WriteResetFile(published_ / "reset.json", {.t_low = 0.25, .tau_0 = 0.75});
  EXPECT_EQ(SamplingDefaults::Load(published_, {}).reset.value().t_low, 0.25f);
  WriteFile(published_ / "reset.json", "{}");
  EXPECT_THROW(SamplingDefaults::Load(published_, {}), Error) << "a damaged file is not passed over";
}

TEST_F(SamplingFolderTest, TakesTheAuthorsGenerationSettings) {
  GenerationConfig generation;
  generation.temperature = 0.9;
  generation.top_p = 0.8;
  generation.top_k = 20;
  generation.repetition_penalty = 1.05;
  generation.min_p = 0.02;
  const SamplingParams params = SamplingDefaults::Load(other_, generation).Resolve({.top_k = 0});
  EXPECT_EQ(params.policy.temperature, 0.9f);
  EXPECT_EQ(params.top_p, 0.8f);
  EXPECT_EQ(params.top_k, 0);
  EXPECT_EQ(params.repetition_penalty, 1.05f);
  EXPECT_EQ(params.min_p, 0.02f);
  generation.top_p = 2;
  try {
    SamplingDefaults::Load(other_, generation);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("generation_config.json: top_p is 2"));
  }
}

}  // namespace
}  // namespace fourstep
