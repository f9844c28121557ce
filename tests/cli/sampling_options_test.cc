#include "cli/sampling_options.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace fourstep::cli {
namespace {

Request Parsed(const std::string& flags) {
  CLI::App app;
  SamplingOptions options;
  AddSamplingOptions(app, options);
  app.parse(flags);
  Request request;
  options.Set(request);
  return request;
}

TEST(SamplingOptions, LeavesToTheModelWhatIsNotGiven) {
  const Request request = Parsed("");
  const Sampling& s = request.sampling;
  EXPECT_EQ(s.policy, "");
  EXPECT_FALSE(s.temperature || s.t_high || s.t_low || s.tau_0 || s.window || s.dynatemp_low ||
               s.dynatemp_high || s.dynatemp_exponent || s.top_p || s.min_p || s.top_k);
  EXPECT_FALSE(s.token_gate_only);
  EXPECT_EQ(s.step_estimator, "");
  EXPECT_FALSE(s.repetition_penalty || s.presence_penalty || s.frequency_penalty);
  EXPECT_TRUE(s.logit_bias.empty() && s.regex.empty() && s.choices.empty());
  EXPECT_EQ(s.top_logprobs, 0);
  EXPECT_EQ(s.seed, 0u);
  EXPECT_EQ(request.max_tokens, 0);
}

TEST(SamplingOptions, SetsEveryField) {
  const Request request = Parsed(
      "--policy reset --t-high 1.5 --t-low 0 --tau-0 0.55 --window 64 --token-gate-only "
      "--step-estimator ema-from-first --top-p 0.9 --top-k 20 --min-p 0.05 --seed 18446744073709551615 "
      "--max-tokens 12");
  const Sampling& s = request.sampling;
  EXPECT_EQ(s.policy, "reset");
  EXPECT_EQ(s.t_high, 1.5);
  EXPECT_EQ(s.t_low, 0);
  EXPECT_EQ(s.tau_0, 0.55);
  EXPECT_EQ(s.window, 64);
  EXPECT_TRUE(s.token_gate_only);
  EXPECT_EQ(s.step_estimator, "ema-from-first");
  EXPECT_EQ(s.top_p, 0.9);
  EXPECT_EQ(s.top_k, 20);
  EXPECT_EQ(s.min_p, 0.05);
  EXPECT_EQ(s.seed, UINT64_MAX);
  EXPECT_EQ(request.max_tokens, 12);
  EXPECT_EQ(Parsed("--temperature 0.6").sampling.temperature, 0.6);
  const Sampling dynatemp =
      Parsed("--policy dynatemp --dynatemp-low 0.1 --dynatemp-high 2 --dynatemp-exponent 0.5").sampling;
  EXPECT_EQ(dynatemp.dynatemp_low, 0.1);
  EXPECT_EQ(dynatemp.dynatemp_high, 2);
  EXPECT_EQ(dynatemp.dynatemp_exponent, 0.5);
  const Sampling adjusted =
      Parsed(
          "--repetition-penalty 1.1 --presence-penalty -0.5 --frequency-penalty 2 --logit-bias 5=-100 "
          "--logit-bias 7=1.5e1 --regex a+ --choice x --choice y --top-logprobs 20")
          .sampling;
  EXPECT_EQ(adjusted.repetition_penalty, 1.1);
  EXPECT_EQ(adjusted.presence_penalty, -0.5);
  EXPECT_EQ(adjusted.frequency_penalty, 2);
  ASSERT_EQ(adjusted.logit_bias.size(), 2u);
  EXPECT_EQ(adjusted.logit_bias[0].token, 5);
  EXPECT_EQ(adjusted.logit_bias[0].bias, -100);
  EXPECT_EQ(adjusted.logit_bias[1].token, 7);
  EXPECT_EQ(adjusted.logit_bias[1].bias, 15);
  EXPECT_EQ(adjusted.regex, "a+");
  EXPECT_EQ(adjusted.choices, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(adjusted.top_logprobs, 20);
}

// Runs with seeds 1 and 2 must not share the draws of any line.
TEST(SamplingOptions, DerivesSeedsThatDoNotMeet) {
  std::set<uint64_t> seeds;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    for (uint64_t index = 0; index < 1000; ++index) seeds.insert(SeedOfIndex(seed, index));
  }
  EXPECT_EQ(seeds.size(), 50'000u);
  EXPECT_EQ(SeedOfIndex(3, 4), SeedOfIndex(3, 4));
}

}  // namespace
}  // namespace fourstep::cli
