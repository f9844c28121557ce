#include "sampling/policy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/philox.h"

namespace fourstep {
namespace {

constexpr double kGrid = 0x1p-12;  // entropies are multiples: exact in every type, so that the oracle is too

struct Trace {
  std::vector<double> entropies;
  std::vector<TokenClass> tokens;
};

// Exact while sums of multiples of 2^-12 stay below 2^53 units.
double Sum(const std::vector<double>& values, size_t begin, size_t end) {
  double sum = 0;
  for (size_t i = begin; i < end; ++i) sum += values[i];
  return sum;
}

size_t StepBegin(const Trace& trace, size_t t) {
  for (size_t i = t; i > 0; --i) {
    const TokenClass last = trace.tokens[i - 1];
    if (last == TokenClass::kBlankLine) return i;
    if (i >= 2 && last == TokenClass::kNewline && trace.tokens[i - 2] == TokenClass::kNewline) return i;
  }
  return 0;
}

// The definitions read aloud: everything anew for every token, from the whole history.
double StepEstimate(const Trace& trace, const PolicyParams& params, size_t t) {
  if (t == 0) return trace.entropies[0];
  const size_t window_begin = t - std::min<size_t>(t, static_cast<size_t>(params.window));
  const double window_mean = Sum(trace.entropies, window_begin, t) / static_cast<double>(t - window_begin);
  const size_t begin = StepBegin(trace, t), length = t - begin;
  if (length == 0) return window_mean;
  const double step_mean = Sum(trace.entropies, begin, t) / static_cast<double>(length);
  const double decay = params.ema_decay;
  double average = trace.entropies[begin];
  switch (params.estimator) {
    case StepEstimator::kHybrid:
      return length >= static_cast<size_t>(params.window) ? step_mean : window_mean;
    case StepEstimator::kCausalMean:
      return step_mean;
    case StepEstimator::kEmaFromWindow:
      if (begin > 0) average = StepEstimate(trace, params, begin);  // S is empty there: the window's mean
      break;
    case StepEstimator::kEmaFromFirst:
      break;
  }
  for (size_t i = begin; i < t; ++i) {
    average = decay * average + (1 - decay) * trace.entropies[i];
  }
  return average;
}

Trace RandomTrace(PhiloxStream& random, size_t length, bool coarse) {
  Trace trace;
  const int newline_percent = random.Between(0, 60), blank_percent = random.Between(0, 10);
  for (size_t i = 0; i < length; ++i) {
    const double entropy = -std::log1p(-random.Uniform()) / 2;
    trace.entropies.push_back(coarse ? std::floor(entropy * 4) / 4 : std::floor(entropy / kGrid) * kGrid);
    const int percent = random.Between(0, 99);
    trace.tokens.push_back(percent < blank_percent                     ? TokenClass::kBlankLine
                           : percent < blank_percent + newline_percent ? TokenClass::kNewline
                                                                       : TokenClass::kOther);
  }
  return trace;
}

bool IsAverage(StepEstimator estimator) {
  return estimator == StepEstimator::kEmaFromWindow || estimator == StepEstimator::kEmaFromFirst;
}

// Returns how many tokens were decided at a tie: H_t equal to the threshold, or the two means equal.
int CompareWithOracle(const Trace& trace, const PolicyParams& params) {
  PolicyState state = {};
  int num_ties = 0;
  for (size_t t = 0; t < trace.entropies.size(); ++t) {
    const double entropy = trace.entropies[t];
    const double step = StepEstimate(trace, params, t);
    const double mean = t == 0 ? step : Sum(trace.entropies, 0, t) / static_cast<double>(t);
    const PolicyDecision decision = ChooseTemperature(state, params, entropy, 0);
    EXPECT_NEAR(decision.step_entropy, step, 1e-6);
    EXPECT_NEAR(decision.mean_entropy, mean, 1e-6);
    // Only moving averages are rounded on both sides, so only they may disagree where all but equal.
    const bool near_tie = std::abs(step - mean) < 1e-9 || std::abs(entropy - step) < 1e-9;
    if (!(IsAverage(params.estimator) && near_tie)) {
      const bool is_uncertain = params.token_gate_only == 0 && step > mean;
      const double threshold = is_uncertain ? step : params.tau_0;
      EXPECT_EQ(decision.temperature, entropy >= threshold ? params.t_high : params.t_low) << t;
      EXPECT_NEAR(decision.threshold, threshold, 1e-6);
      num_ties += t > 0 && (step == mean || entropy == threshold);
    }
    Observe(state, params, entropy, trace.tokens[t]);
  }
  return num_ties;
}

TEST(ResetPolicy, EqualsTheOracleForRandomParameters) {
  PhiloxStream random(11);
  int num_ties = 0;
  for (int round = 0; round < 600; ++round) {
    PolicyParams params;
    params.kind = PolicyKind::kReset;
    params.window = random.Chance(0.5) ? random.Between(1, 8) : random.Between(1, kMaxPolicyWindow);
    params.t_low = 0.1f;
    params.estimator = static_cast<StepEstimator>(round % 4);
    params.token_gate_only = random.Chance(0.1);
    params.ema_decay = static_cast<float>(random.Uniform());
    const bool coarse = random.Chance(0.5);
    params.tau_0 = static_cast<float>(coarse ? random.Between(0, 6) * 0.25 : random.Between(0, 6000) * kGrid);
    num_ties +=
        CompareWithOracle(RandomTrace(random, static_cast<size_t>(random.Between(1, 250)), coarse), params);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
  EXPECT_GT(num_ties, 1000);  // the property covers what rounding would break
}

// All answers of up to 6 tokens over 2 entropies and 3 classes, windows 1..3.
TEST(ResetPolicy, EqualsTheOracleForAllShortAnswers) {
  PolicyParams params;
  params.kind = PolicyKind::kReset;
  params.tau_0 = 0.25f;
  for (params.window = 1; params.window <= 3; ++params.window) {
    for (int code = 0; code < 6 * 6 * 6 * 6 * 6 * 6; ++code) {
      Trace trace;
      for (int rest = code, i = 0; i < 6; ++i, rest /= 6) {
        trace.entropies.push_back(rest % 2 == 0 ? 0.25 : 0.5);
        trace.tokens.push_back(static_cast<TokenClass>(rest % 6 / 2));
      }
      CompareWithOracle(trace, params);
      ASSERT_FALSE(HasFailure()) << "window " << params.window << " code " << code;
    }
  }
}

TEST(ResetPolicy, SumsDoNotDrift) {
  PolicyParams params;
  params.kind = PolicyKind::kReset;
  params.window = 64;
  PolicyState state = {};
  PhiloxStream random(3);
  for (int i = 0; i < 200'000; ++i) Observe(state, params, random.Uniform() * 12, TokenClass::kOther);
  EXPECT_GT(state.window_total, 0);
  for (int i = 0; i < 64; ++i) Observe(state, params, 0.0, TokenClass::kOther);
  EXPECT_EQ(state.window_total, 0);
}

TEST(ResetPolicy, SurvivesEntropiesThatAreNone) {
  PolicyParams params;
  params.kind = PolicyKind::kReset;
  PolicyState state = {};
  for (const double entropy : {std::nan(""), -1.0, HUGE_VAL, -HUGE_VAL, 1e300}) {
    const PolicyDecision decision = ChooseTemperature(state, params, entropy, 0);
    EXPECT_TRUE(decision.temperature == params.t_high || decision.temperature == params.t_low);
    Observe(state, params, entropy, TokenClass::kNewline);
  }
  EXPECT_EQ(state.total, 2 * static_cast<int64_t>(kMaxEntropy * kEntropyUnitsPerNat));
}

TEST(ResetPolicy, CountsSteps) {
  PolicyParams params;
  PolicyState state = {};
  std::vector<int> steps;
  for (const char letter : std::string("wdwnwnnnwdd")) {
    steps.push_back(state.step);
    Observe(state, params, 1,
            letter == 'd'   ? TokenClass::kBlankLine
            : letter == 'n' ? TokenClass::kNewline
                            : TokenClass::kOther);
  }
  EXPECT_EQ(steps, (std::vector<int>{0, 0, 1, 1, 1, 1, 1, 2, 3, 3, 4}));
  EXPECT_EQ(state.step, 5);
}

TEST(Policy, DispatchesEveryKind) {
  PolicyParams params;
  PolicyState state = {};
  params.temperature = 0.7f;
  params.kind = PolicyKind::kFixed;
  EXPECT_EQ(ChooseTemperature(state, params, 1.5, 10).temperature, 0.7f);
  EXPECT_EQ(ChooseTemperature(state, params, 1.5, 10).threshold, 0.0f);
  EXPECT_EQ(ChooseTemperature(state, params, 1.5, 10).step_entropy, 1.5f);
  params.kind = PolicyKind::kGreedy;
  EXPECT_EQ(ChooseTemperature(state, params, 1.5, 10).temperature, 0.0f);
  params.kind = PolicyKind::kReset;
  EXPECT_EQ(ChooseTemperature(state, params, 1.5, 10).temperature, params.t_high);
  EXPECT_EQ(ChooseTemperature(state, params, params.tau_0, 10).temperature, params.t_high);
  EXPECT_EQ(ChooseTemperature(state, params, 0.5, 10).temperature, params.t_low);
  params.kind = PolicyKind::kDynatemp;
  params.dynatemp_low = 0.2f;
  params.dynatemp_high = 1.2f;
  EXPECT_FLOAT_EQ(ChooseTemperature(state, params, 0, 10).temperature, 0.2f);
  EXPECT_FLOAT_EQ(ChooseTemperature(state, params, 5, 10).temperature, 0.7f);
  EXPECT_FLOAT_EQ(ChooseTemperature(state, params, 12, 10).temperature, 1.2f);
  params.dynatemp_exponent = 2;
  EXPECT_FLOAT_EQ(ChooseTemperature(state, params, 5, 10).temperature, 0.45f);
}

TEST(Policy, ClassifiesTokenTexts) {
  for (const char* text : {"\n\n", ".\n\n", "\n\n\n", "\n\nA"}) {
    EXPECT_EQ(ClassifyTokenText(text), TokenClass::kBlankLine);
  }
  EXPECT_EQ(ClassifyTokenText("\n"), TokenClass::kNewline);
  for (const char* text : {"", " \n", "\n ", "\r\n", "a", "\n \n"}) {
    EXPECT_EQ(ClassifyTokenText(text), TokenClass::kOther);
  }
}

}  // namespace
}  // namespace fourstep
