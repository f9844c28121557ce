#include "sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "base/philox.h"

namespace fourstep {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> RandomLogits(PhiloxStream& random, size_t count, double spread) {
  std::vector<float> logits(count);
  for (float& logit : logits) {
    // A sum of uniforms is normal enough; a few tokens stand out, as in a model.
    const double normal = random.Uniform() + random.Uniform() + random.Uniform() + random.Uniform() - 2;
    logit = static_cast<float>((normal + (random.Chance(0.02) ? 4 * random.Uniform() : 0)) * spread);
  }
  return logits;
}

SamplerSlot FixedSlot(float temperature, float top_p = 1, int32_t top_k = 0, float min_p = 0,
                      uint64_t seed = 0) {
  SamplerSlot slot;
  slot.params.policy.kind = PolicyKind::kFixed;
  slot.params.policy.temperature = temperature;
  slot.params.seed = seed;
  slot.params.top_k = top_k;
  slot.params.top_p = top_p;
  slot.params.min_p = min_p;
  return slot;
}

TEST(LogitStats, EqualsDoubleArithmetic) {
  PhiloxStream random(1);
  for (const size_t count : {1, 2, 15, 16, 17, 1000, 1024, 1025, 5000, 151'936}) {
    for (const double spread : {0.0, 0.1, 1.0, 5.0, 40.0}) {
      const std::vector<float> logits = RandomLogits(random, count, spread);
      const double max = *std::max_element(logits.begin(), logits.end());
      double z = 0, weighted = 0;
      for (const float logit : logits) {
        z += std::exp(logit - max);
        weighted += (logit - max) * std::exp(logit - max);
      }
      const LogitStats stats = ComputeLogitStats(logits);
      ASSERT_TRUE(stats.valid);
      // 64 additions of fp32 a lane, each off by half an ulp of the lane's sum; terms have 2 ulp of their
      // own.
      EXPECT_NEAR(stats.entropy, std::log(z) - weighted / z, 1e-5) << count << " " << spread;
      EXPECT_NEAR(stats.log_sum_exp, max + std::log(z), 1e-5 + std::abs(max) * 1.2e-7);
    }
  }
}

TEST(LogitStats, KnowsExactCases) {
  EXPECT_EQ(ComputeLogitStats(std::vector<float>{3.5f}).entropy, 0.0f);
  EXPECT_EQ(ComputeLogitStats(std::vector<float>{3.5f}).log_sum_exp, 3.5f);
  EXPECT_FLOAT_EQ(ComputeLogitStats(std::vector<float>(4096, -7)).entropy, std::log(4096.0f));
  EXPECT_FLOAT_EQ(ComputeLogitStats(std::vector<float>{-kInfinity, 1, -kInfinity, 1}).entropy,
                  std::log(2.0f));
  EXPECT_EQ(ComputeLogitStats(std::vector<float>{1000, -1000}).entropy, 0.0f);
  EXPECT_TRUE(ComputeLogitStats(std::vector<float>{-3e38f, 3e38f}).valid);
}

TEST(LogitStats, RefusesWhatIsNoDistribution) {
  EXPECT_FALSE(ComputeLogitStats({}).valid);
  EXPECT_FALSE(ComputeLogitStats(std::vector<float>(20, -kInfinity)).valid);
  for (const float bad : {NAN, -NAN, kInfinity}) {
    for (size_t at = 0; at < 40; ++at) {
      std::vector<float> logits(40, 0.5f);
      logits[at] = bad;
      EXPECT_FALSE(ComputeLogitStats(logits).valid);
      SamplerSlot slot = FixedSlot(1);
      EXPECT_EQ(DrawToken(logits, slot, {}).token, -1);
      EXPECT_EQ(slot.output_position, 0);
      EXPECT_EQ(slot.policy.num_tokens, 0);
    }
  }
}

// Sorts everything, and knows probabilities as the sampler does: in whole units.
std::set<int32_t> OracleKept(const std::vector<float>& logits, const SamplerSlot& slot, float temperature,
                             int32_t num_drawable) {
  SamplerSlot all = FixedSlot(temperature);
  SelectCandidates(logits, num_drawable, temperature, all);
  std::vector<SamplingCandidate> order = all.candidates;
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.logit > b.logit; });
  const SamplingParams& params = slot.params;
  if (params.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(params.top_k)));
  uint64_t total = 0, mass = 0;
  for (const auto& candidate : order) total += candidate.weight;
  std::set<int32_t> kept;
  for (const auto& candidate : order) {
    if (params.top_p < 1 && !kept.empty() &&
        static_cast<double>(mass) >= static_cast<double>(params.top_p) * static_cast<double>(total)) {
      break;
    }
    mass += candidate.weight;
    kept.insert(candidate.token);
  }
  std::erase_if(kept, [&](int32_t token) {
    const auto it = std::find_if(order.begin(), order.end(), [&](const auto& c) { return c.token == token; });
    return static_cast<double>(it->weight) < static_cast<double>(params.min_p) * 0x1p40;
  });
  return kept;
}

TEST(SelectCandidates, EqualsTheSortBasedOracle) {
  PhiloxStream random(2);
  for (int round = 0; round < 1500; ++round) {
    const auto vocab = static_cast<size_t>(random.Chance(0.2) ? random.Between(1, 4)
                                           : round % 100 == 0 ? random.Between(1000, 5000)
                                                              : random.Between(5, 700));
    std::vector<float> logits = RandomLogits(random, vocab, random.Uniform() * 12);
    if (random.Chance(0.4)) {
      for (float& logit : logits) logit = std::round(logit);  // ties
    }
    if (random.Chance(0.1)) std::fill(logits.begin(), logits.end(), 2.5f);
    const auto num_drawable = random.Between(1, static_cast<int>(vocab));
    const float temperature = static_cast<float>(0.05 + random.Uniform() * 1.5);
    const SamplerSlot wish =
        FixedSlot(temperature, random.Chance(0.3) ? 1.0f : static_cast<float>(random.Uniform()),
                  random.Chance(0.5) ? 0 : random.Between(1, static_cast<int>(vocab) + 2),
                  random.Chance(0.7) ? 0.0f : static_cast<float>(random.Uniform()));
    SamplerSlot slot = wish;
    SelectCandidates(logits, num_drawable, temperature, slot);
    std::set<int32_t> kept;
    for (const auto& candidate : slot.candidates) kept.insert(candidate.token);
    ASSERT_TRUE(std::is_sorted(slot.candidates.begin(), slot.candidates.end(),
                               [](const auto& a, const auto& b) { return a.token < b.token; }));
    ASSERT_EQ(kept, OracleKept(logits, wish, temperature, num_drawable))
        << "round " << round << " top_p " << wish.params.top_p << " top_k " << wish.params.top_k;
    ASSERT_GE(kept.size(), 1u);
  }
}

// Every vector of up to 4 logits over 3 values: at these temperatures the sets can be told by hand.
TEST(SelectCandidates, KeepsTheLowestIdsAmongEquals) {
  for (int count = 1; count <= 4; ++count) {
    const std::vector<float> logits(static_cast<size_t>(count), 1.0f);
    for (int k = 1; k <= count; ++k) {
      for (const bool by_mass : {false, true}) {
        SamplerSlot slot = by_mass ? FixedSlot(1, static_cast<float>(k) / static_cast<float>(count) - 0.01f)
                                   : FixedSlot(1, 1, k);
        SelectCandidates(logits, count, 1, slot);
        ASSERT_EQ(slot.candidates.size(), static_cast<size_t>(k));
        for (int i = 0; i < k; ++i) EXPECT_EQ(slot.candidates[static_cast<size_t>(i)].token, i);
      }
    }
  }
  SamplerSlot zero = FixedSlot(1, 0);
  SelectCandidates(std::vector<float>{1, 3, 2, 3}, 4, 1, zero);
  ASSERT_EQ(zero.candidates.size(), 1u);
  EXPECT_EQ(zero.candidates[0].token, 1);
}

TEST(SelectCandidates, WeighsAsTheSoftmaxDoes) {
  PhiloxStream random(5);
  const std::vector<float> logits = RandomLogits(random, 3000, 4);
  for (const float temperature : {0.1f, 0.6f, 1.0f, 1.7f}) {
    SamplerSlot slot = FixedSlot(temperature);
    SelectCandidates(logits, 3000, temperature, slot);
    const double max = *std::max_element(logits.begin(), logits.end());
    for (const auto& candidate : slot.candidates) {
      const double expected = std::exp((candidate.logit - max) / temperature) * 0x1p40;
      ASSERT_NEAR(static_cast<double>(candidate.weight), expected, 1 + expected * 4e-6);
    }
  }
}

double ChiSquare(const std::map<int32_t, int>& counts, const std::vector<double>& probabilities, int draws) {
  double chi_square = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    const double expected = probabilities[i] * draws;
    if (expected == 0) continue;
    const auto it = counts.find(static_cast<int32_t>(i));
    const double difference = (it == counts.end() ? 0 : it->second) - expected;
    chi_square += difference * difference / expected;
  }
  return chi_square;
}

TEST(DrawToken, DrawsWithTheRightFrequencies) {
  const std::vector<float> logits = {0.5f, 2.0f, -1.0f, 1.0f, 2.0f, 0.0f, -kInfinity, 1.5f};
  for (const float temperature : {0.5f, 1.0f, 1.4f}) {
    for (const uint64_t seed : {1ull, 77ull, ~0ull}) {
      SamplerSlot slot = FixedSlot(temperature, 1, 0, 0, seed);
      std::map<int32_t, int> counts;
      constexpr int kDraws = 40'000;
      for (int i = 0; i < kDraws; ++i) ++counts[DrawToken(logits, slot, {}).token];
      std::vector<double> probabilities;
      for (const float logit : logits) probabilities.push_back(std::exp(logit / temperature));
      const double total = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
      for (double& probability : probabilities) probability /= total;
      EXPECT_EQ(counts.count(6), 0u);
      // 6 degrees of freedom: 27.9 is exceeded once in 10,000 seeds.
      EXPECT_LT(ChiSquare(counts, probabilities, kDraws), 27.9) << temperature << " " << seed;
    }
  }
}

// Neighbouring positions and neighbouring seeds must be as good as independent: pairs of draws from a fair
// coin.
TEST(DrawToken, IsIndependentAcrossPositionsAndSeeds) {
  const std::vector<float> coin = {0, 0};
  std::map<int32_t, int> by_position, by_seed;
  constexpr int kDraws = 40'000;
  SamplerSlot slot = FixedSlot(1, 1, 0, 0, 9);
  for (int i = 0; i < kDraws; ++i) {
    const int32_t first = DrawToken(coin, slot, {}).token;
    ++by_position[2 * first + DrawToken(coin, slot, {}).token];
    SamplerSlot a = FixedSlot(1, 1, 0, 0, static_cast<uint64_t>(2 * i));
    SamplerSlot b = FixedSlot(1, 1, 0, 0, static_cast<uint64_t>(2 * i + 1));
    ++by_seed[2 * DrawToken(coin, a, {}).token + DrawToken(coin, b, {}).token];
  }
  const std::vector<double> quarters(4, 0.25);
  EXPECT_LT(ChiSquare(by_position, quarters, kDraws), 21.1);  // 3 degrees of freedom, 1 in 10,000
  EXPECT_LT(ChiSquare(by_seed, quarters, kDraws), 21.1);
}

TEST(DrawToken, DependsOnSeedPositionAndLogitsOnly) {
  PhiloxStream random(6);
  std::vector<std::vector<float>> rows;
  for (int i = 0; i < 50; ++i) rows.push_back(RandomLogits(random, 2000, 3));
  const auto tokens_of = [&](SamplerSlot slot, auto&& before_each) {
    std::vector<int32_t> tokens;
    for (const auto& row : rows) {
      before_each(slot);
      tokens.push_back(DrawToken(row, slot, {}).token);
    }
    return tokens;
  };
  const SamplerSlot slot = FixedSlot(1, 0.95f, 0, 0, 5);
  const auto expected = tokens_of(slot, [](SamplerSlot&) {});
  // Another answer in between, fresh scratch memory, logits shifted by a constant that changes no bit.
  SamplerSlot other = FixedSlot(1.3f, 0.5f, 10, 0.1f, 6);
  EXPECT_EQ(tokens_of(slot,
                      [&](SamplerSlot& mine) {
                        DrawToken(rows[0], other, {});
                        std::swap(mine.candidates, other.candidates);
                        mine.scratch = {};
                      }),
            expected);
  EXPECT_NE(tokens_of(FixedSlot(1, 0.95f, 0, 0, 6), [](SamplerSlot&) {}), expected);
  SamplerSlot late = slot;
  late.output_position = 1;
  EXPECT_NE(tokens_of(late, [](SamplerSlot&) {}), expected);
}

TEST(DrawToken, IsArgMaxAtZeroTemperature) {
  const std::vector<float> logits = {1, 5, 3, 5, 9, 9};
  for (const float temperature : {0.0f, 1e-6f}) {
    SamplerSlot slot = FixedSlot(temperature, 0.1f, 3);
    EXPECT_EQ(DrawToken(logits, slot, {}).token, 4);
    EXPECT_EQ(DrawToken(logits, slot, BoundaryTokens({}, {}, 4)).token, 1);
    EXPECT_EQ(DrawToken(logits, slot, BoundaryTokens({}, {}, 1)).temperature, 0.0f);
  }
  SamplerSlot cold = FixedSlot(2e-6f);  // just above: the filters must stand such quotients
  EXPECT_GE(DrawToken(logits, cold, {}).token, 4);
  std::vector<float> zeros = {-0.0f, 0.0f};
  SamplerSlot slot = FixedSlot(0);
  EXPECT_EQ(DrawToken(zeros, slot, {}).token, 0);
}

TEST(DrawToken, NeverDrawsPadding) {
  std::vector<float> logits(64, 0.0f);
  std::fill(logits.begin() + 40, logits.end(), 30.0f);
  SamplerSlot slot = FixedSlot(1);
  for (int i = 0; i < 2000; ++i) {
    const TokenRecord record = DrawToken(logits, slot, BoundaryTokens({}, {}, 40));
    ASSERT_GE(record.token, 0);
    ASSERT_LT(record.token, 40);
    ASSERT_NEAR(record.entropy, std::log(24.0), 1e-4);  // of the raw logits, padding included
  }
  std::fill(logits.begin(), logits.begin() + 40, -kInfinity);
  EXPECT_EQ(DrawToken(logits, slot, BoundaryTokens({}, {}, 40)).token, -1);
  EXPECT_EQ(DrawToken(logits, slot, BoundaryTokens({}, {}, 0)).token, -1);
  EXPECT_EQ(slot.output_position, 2000);
}

TEST(DrawToken, RecordsWhatThePolicySaw) {
  const int32_t blank[] = {2, 900}, newline[] = {1, 2, -1};
  const BoundaryTokens boundaries(blank, newline, 4);
  EXPECT_EQ(boundaries.ClassOf(0), TokenClass::kOther);
  EXPECT_EQ(boundaries.ClassOf(1), TokenClass::kNewline);
  EXPECT_EQ(boundaries.ClassOf(2), TokenClass::kBlankLine);
  EXPECT_EQ(boundaries.ClassOf(900), TokenClass::kOther);
  EXPECT_EQ(boundaries.classes().size(), 3u);

  SamplerSlot slot;
  slot.params.policy.kind = PolicyKind::kReset;
  slot.params.policy.window = 2;
  const auto certain = [](int32_t token) {
    std::vector<float> logits(4, -60.0f);
    logits[static_cast<size_t>(token)] = 0;
    return logits;
  };
  const std::vector<float> open(4, 0.0f);
  const TokenRecord first = DrawToken(certain(2), slot, boundaries);
  EXPECT_EQ(first.token, 2);
  EXPECT_EQ(first.output_position, 0);
  EXPECT_EQ(first.step, 0);
  EXPECT_EQ(first.temperature, slot.params.policy.t_low);
  EXPECT_EQ(first.threshold, slot.params.policy.tau_0);
  EXPECT_NEAR(first.logprob, 0, 1e-6);
  const TokenRecord second = DrawToken(open, slot, boundaries);
  EXPECT_EQ(second.step, 1);
  EXPECT_EQ(second.output_position, 1);
  EXPECT_EQ(second.temperature, slot.params.policy.t_high);
  EXPECT_NEAR(second.entropy, std::log(4.0), 1e-6);
  EXPECT_NEAR(second.logprob, -std::log(4.0), 1e-6);
  DrawToken(certain(1), slot, boundaries);
  DrawToken(certain(1), slot, boundaries);
  const TokenRecord fifth = DrawToken(certain(0), slot, boundaries);
  EXPECT_GE(fifth.step, 2);
  EXPECT_NEAR(fifth.mean_entropy, std::log(4.0) / 4, 1e-6);
}

}  // namespace
}  // namespace fourstep
