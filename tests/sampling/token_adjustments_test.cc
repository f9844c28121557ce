// Penalties, biases and automata, held against their definitions in double arithmetic and brute force.
#include "sampling/token_adjustments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/philox.h"
#include "sampling/sampler.h"

namespace fourstep {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> RandomLogits(PhiloxStream& random, size_t count, double spread) {
  std::vector<float> logits(count);
  for (float& logit : logits) logit = static_cast<float>((random.Uniform() - 0.5) * spread);
  return logits;
}

struct RandomCase {
  SamplingRequest request;
  std::vector<int32_t> prompt;
};

RandomCase MakeCase(PhiloxStream& random, int32_t vocab) {
  RandomCase c;
  SamplingParams& params = c.request.params;
  params.policy.kind = random.Chance(0.3) ? PolicyKind::kGreedy : PolicyKind::kFixed;
  params.policy.temperature = 1;
  params.top_p = random.Chance(0.5) ? 1.0f : 0.8f;
  params.seed = random.NextBits();
  const auto between = [&](double low, double high) {
    return static_cast<float>(low + (high - low) * random.Uniform());
  };
  if (random.Chance(0.5)) params.repetition_penalty = between(0.5, 2);
  if (random.Chance(0.5)) params.presence_penalty = between(-2, 2);
  if (random.Chance(0.5)) params.frequency_penalty = between(-2, 2);
  for (int32_t token = 0; token < vocab; ++token) {
    if (random.Chance(0.2)) c.request.bias.push_back({token, random.Chance(0.3) ? kBan : between(-5, 5)});
  }
  for (int i = random.Between(0, 10); i > 0; --i) c.prompt.push_back(random.Between(0, vocab + 3));
  return c;
}

// The definition (docs/sampling.md), from the tokens themselves.
double Adjusted(double logit, int32_t token, const RandomCase& c, const std::vector<int32_t>& answer) {
  const SamplingParams& params = c.request.params;
  const auto count = std::count(answer.begin(), answer.end(), token);
  const bool is_in_prompt = std::find(c.prompt.begin(), c.prompt.end(), token) != c.prompt.end();
  if (is_in_prompt || count > 0)
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
  logit -=
      (count > 0 ? params.presence_penalty : 0.0) + params.frequency_penalty * static_cast<double>(count);
  for (const TokenBias& bias : c.request.bias) {
    if (bias.token == token) logit = bias.bias == kBan ? -kInfinity : logit + bias.bias;
  }
  return logit;
}

TEST(TokenAdjustments, EqualTheDefinition) {
  PhiloxStream random(1);
  for (int round = 0; round < 200; ++round) {
    const int32_t vocab = random.Between(2, 60);
    const RandomCase c = MakeCase(random, vocab);
    TokenAdjustments adjustments(c.request, c.prompt, vocab);
    std::vector<int32_t> answer;
    for (int step = 0; step < 15; ++step) {
      const std::vector<float> logits = RandomLogits(random, static_cast<size_t>(vocab), 20);
      if (!adjustments.empty()) {
        const auto got = adjustments.Apply(logits, c.request.params);
        for (int32_t token = 0; token < vocab; ++token) {
          const double expected = Adjusted(logits[static_cast<size_t>(token)], token, c, answer);
          if (expected == -kInfinity) {
            ASSERT_EQ(got[static_cast<size_t>(token)], -kInfinity);
          } else {
            ASSERT_NEAR(got[static_cast<size_t>(token)], expected, 1e-4);
          }
        }
      }
      answer.push_back(random.Between(0, vocab - 1));
      if (!adjustments.empty()) adjustments.Observe(answer.back());
    }
  }
}

// What is drawn is what a plain sampler draws from logits adjusted beforehand; what is told is of the raw
// ones.
TEST(DrawToken, DrawsFromAdjustedLogitsAndTellsOfRawOnes) {
  PhiloxStream random(2);
  for (int round = 0; round < 150; ++round) {
    const int32_t vocab = random.Between(3, 80);
    const BoundaryTokens boundary({}, {}, vocab - 1);
    const RandomCase c = MakeCase(random, vocab - 1);
    SamplerSlot slot{.params = c.request.params,
                     .adjustments = TokenAdjustments(c.request, c.prompt, vocab - 1)};
    SamplerSlot plain{.params = c.request.params};
    TokenAdjustments same(c.request, c.prompt, vocab - 1);
    for (int step = 0; step < 10; ++step) {
      const std::vector<float> logits = RandomLogits(random, static_cast<size_t>(vocab), 12);
      std::vector<float> by_hand = logits;
      if (!same.empty()) {
        const auto adjusted =
            same.Apply(std::span(logits).first(static_cast<size_t>(vocab) - 1), c.request.params);
        std::copy(adjusted.begin(), adjusted.end(), by_hand.begin());
      }
      const DrawResult got = DrawToken(logits, slot, boundary);
      ASSERT_EQ(got.token, DrawToken(by_hand, plain, boundary).token);
      if (got.token < 0) break;  // all are banned
      if (!same.empty()) same.Observe(got.token);
      const LogitStats stats = ComputeLogitStats(logits);
      EXPECT_EQ(got.entropy, stats.entropy);
      EXPECT_EQ(got.logprob, logits[static_cast<size_t>(got.token)] - stats.log_sum_exp);
    }
  }
}

TEST(DrawToken, TellsTheMostProbableTokens) {
  PhiloxStream random(3);
  for (int round = 0; round < 200; ++round) {
    const int32_t vocab = random.Between(1, 200), num_drawable = random.Between(1, vocab);
    std::vector<float> logits = RandomLogits(random, static_cast<size_t>(vocab), 10);
    for (float& logit : logits) {
      if (random.Chance(0.5)) logit = std::round(logit);  // ties
      if (random.Chance(0.1)) logit = -kInfinity;
    }
    logits[0] = 0;
    SamplingRequest request;
    request.params.top_logprobs = random.Between(1, kMaxTopLogprobs);
    if (random.Chance(0.5)) request.bias = {{0, 5.0f}};  // changes nothing of it
    SamplerSlot slot{.params = request.params, .adjustments = TokenAdjustments(request, {}, num_drawable)};
    const DrawResult drawn = DrawToken(logits, slot, BoundaryTokens({}, {}, num_drawable));
    double mass = 0;
    for (const float logit : logits) mass += std::exp(static_cast<double>(logit));
    std::vector<int32_t> order;
    for (int32_t token = 0; token < num_drawable; ++token) {
      if (logits[static_cast<size_t>(token)] > -kInfinity) order.push_back(token);
    }
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    const size_t count = std::min(order.size(), static_cast<size_t>(request.params.top_logprobs));
    ASSERT_EQ(drawn.top.size(), count);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(drawn.top[i].token, order[i]);
      EXPECT_NEAR(drawn.top[i].logprob, logits[static_cast<size_t>(order[i])] - std::log(mass), 1e-4);
    }
  }
}

TEST(DrawToken, FollowsAnAutomaton) {
  // Tokens 0 and 1 in turn, then 2 for ever; 3 has no class.
  TokenAutomaton automaton{.num_states = 3,
                           .num_classes = 3,
                           .token_class = {0, 1, 2},
                           .next_state = {1, -1, -1, -1, 2, -1, -1, -1, 2}};
  SamplingRequest request{.automaton = std::make_shared<const TokenAutomaton>(automaton)};
  for (const PolicyKind kind : {PolicyKind::kGreedy, PolicyKind::kFixed}) {
    request.params.policy.kind = kind;
    SamplerSlot slot{.params = request.params, .adjustments = TokenAdjustments(request, {}, 4)};
    const std::vector<float> logits = {0, 1, 2, 3};
    std::vector<int32_t> tokens;
    for (int i = 0; i < 5; ++i) tokens.push_back(DrawToken(logits, slot, {}).token);
    EXPECT_EQ(tokens, (std::vector<int32_t>{0, 1, 2, 2, 2}));
  }
  // Where what may follow has no probability the answer is over, and stays so.
  SamplerSlot slot{.params = request.params, .adjustments = TokenAdjustments(request, {}, 4)};
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(DrawToken(std::vector<float>{-kInfinity, 1, 2, 3}, slot, {}).token, -1);
  EXPECT_EQ(slot.output_position, 0);
  EXPECT_EQ(DrawToken(std::vector<float>{0, 1, 2, 3}, slot, {}).token, 0);
}

TEST(TokenAdjustments, StayFiniteAtTheEnds) {
  const float most = std::numeric_limits<float>::max();
  SamplingRequest request;
  request.params.repetition_penalty = 0.1f;
  request.params.policy.temperature = 1;
  request.bias = {{1, 100.0f}};
  SamplerSlot slot{.params = request.params,
                   .adjustments = TokenAdjustments(request, std::vector<int32_t>{0, 1, 2}, 3)};
  const std::vector<float> logits = {most, most, -most};
  for (int i = 0; i < 20; ++i) EXPECT_LE(DrawToken(logits, slot, {}).token, 1);
}

}  // namespace
}  // namespace fourstep
