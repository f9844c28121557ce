// Drawing on every backend gives the tokens that the host's sampler draws from the same logits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/philox.h"
#include "contestants.h"
#include "random_model.h"
#include "sampling/sampler.h"

namespace fourstep {
namespace {

constexpr int32_t kHidden = 32, kSlots = 8;

// Rows of an embedding go straight to the head.
struct HeadModel {
  HeadModel(Backend& b, int32_t vocab, float peak) : backend(b) {
    const RandomWeight table(kRows, kHidden, {.format = WeightFormat::kBf16, .scale = 1}, 1);
    const RandomWeight weights(vocab, kHidden,
                               {.format = WeightFormat::kBf16, .scale = peak / std::sqrt(32.0f)}, 2);
    embedding = b.AddEmbedding(table.view());
    const LinearWeight view = weights.view();
    head = b.AddLinear({&view, 1}, Numerics::kBf16);
    norm = b.AddVector(std::vector<float>(kHidden, 1.0f));
    x = b.AddActivation(kHidden);
  }
  // One row a slot, of tokens that differ from step to step.
  void Step(int32_t step) {
    BatchRows rows;
    for (int32_t slot = 0; slot < kSlots; ++slot) rows.Add(slot, step, (step * kSlots + slot) % kRows, true);
    rows.SetTables(kSlots, 1);
    const Batch batch = rows.view();
    backend.BeginStep(batch);
    backend.Embed(x, embedding);
    backend.Head(x, norm, 1e-6f, head);
    backend.Draw();
    backend.EndStep();
  }
  static constexpr int32_t kRows = 500;
  Backend& backend;
  EmbeddingId embedding;
  LinearId head;
  VectorId norm;
  ActivationId x;
};

// A policy and filters for each slot, so that every kind stands beside every other.
std::vector<SamplingParams> AllParams() {
  std::vector<SamplingParams> all(kSlots);
  for (size_t i = 0; i < all.size(); ++i) all[i].seed = 100 + i;
  all[0].policy.kind = PolicyKind::kGreedy;
  all[1].policy.temperature = 1.0f;
  all[1].top_p = 1.0f;
  all[2].policy.kind = PolicyKind::kReset;
  all[2].policy.window = 4;
  all[3].top_k = 3;
  all[3].top_p = 0.8f;
  all[4].top_k = 50;
  all[4].top_p = 1.0f;
  all[4].min_p = 0.05f;
  all[5].policy.temperature = 3.0f;
  all[5].min_p = 0.2f;
  all[6].policy.kind = PolicyKind::kDynatemp;
  all[7].policy.kind = PolicyKind::kReset;
  all[7].policy.estimator = StepEstimator::kEmaFromWindow;
  all[7].top_p = 0.5f;
  return all;
}

void ExpectNear(float got, float expected, const char* what) {
  EXPECT_NEAR(got, expected, 2e-5 * std::max(1.0f, std::fabs(expected))) << what;
}

void ExpectSame(const DrawResult& got, const DrawResult& expected) {
  ASSERT_EQ(got.token, expected.token);
  EXPECT_EQ(got.output_position, expected.output_position);
  EXPECT_EQ(got.step, expected.step);
  ExpectNear(got.temperature, expected.temperature, "temperature");
  ExpectNear(got.entropy, expected.entropy, "entropy");
  ExpectNear(got.step_entropy, expected.step_entropy, "step entropy");
  ExpectNear(got.mean_entropy, expected.mean_entropy, "mean entropy");
  ExpectNear(got.threshold, expected.threshold, "threshold");
  ExpectNear(got.logprob, expected.logprob, "logprob");
  ASSERT_EQ(got.top.size(), expected.top.size());
  for (size_t i = 0; i < got.top.size(); ++i) {
    EXPECT_EQ(got.top[i].token, expected.top[i].token);
    ExpectNear(got.top[i].logprob, expected.top[i].logprob, "top logprob");
  }
}

// A backend and the host's sampler, step by step; answers may begin anew in between.
class Pair {
 public:
  Pair(Backend& backend, int32_t vocab, float peak)
      : backend_(backend),
        model_(backend, vocab, peak),
        vocab_(vocab),
        boundary_(kBlank, kNewline, vocab - kPadding),
        slots_(kSlots) {
    backend.SetBoundaryTokens(kBlank, kNewline, vocab - kPadding);
  }

  void Set(int32_t slot, const SamplingRequest& request, const std::vector<int32_t>& prompt) {
    backend_.SetSlot(slot, request, prompt);
    slots_[static_cast<size_t>(slot)] = {.params = request.params,
                                         .adjustments = TokenAdjustments(request, prompt, vocab_ - kPadding)};
  }

  // Draws in all slots, and returns what was drawn there.
  std::vector<DrawResult> Step(int32_t step) {
    model_.Step(step);
    const std::vector<float> logits = backend_.ReadLogits();
    const std::vector<DrawResult> records = backend_.ReadRecords(true);
    EXPECT_EQ(records.size(), static_cast<size_t>(kSlots));
    for (const DrawResult& got : records) {
      SCOPED_TRACE(fmt::format("slot {} step {}", got.slot, step));
      const std::span row(logits.data() + got.slot * vocab_, static_cast<size_t>(vocab_));
      ExpectSame(got, DrawToken(row, slots_[static_cast<size_t>(got.slot)], boundary_));
      if (testing::Test::HasFatalFailure()) break;
    }
    return records;
  }

 private:
  static constexpr int32_t kPadding = 3;
  static inline const std::vector<int32_t> kBlank = {3, 40, 77, 199}, kNewline = {5, 6, 41, 120};

  Backend& backend_;
  HeadModel model_;
  const int32_t vocab_;
  const BoundaryTokens boundary_;
  std::vector<SamplerSlot> slots_;
};

// Each a test of its own, so that a sanitizer can take them side by side.
struct Case {
  int32_t vocab;
  float peak;  // of the logits
  int32_t num_steps;
};
std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return fmt::format("vocab_{}_peak_{}_tenths", info.param.vocab, static_cast<int>(10 * info.param.peak));
}
// Each peak with each vocabulary and the steps that it is taken for.
std::vector<Case> Cases(std::initializer_list<float> peaks,
                        std::initializer_list<std::pair<int32_t, int32_t>> vocabs) {
  std::vector<Case> cases;
  for (const auto& [vocab, num_steps] : vocabs) {
    for (const float peak : peaks) cases.push_back({vocab, peak, num_steps});
  }
  return cases;
}

class Plain : public testing::TestWithParam<Case> {};

TEST_P(Plain, GivesTheTokensOfTheHostsSampler) {
  const Case& c = GetParam();
  for (const Contestant& contestant : Contestants()) {
    SCOPED_TRACE(contestant.name);
    const auto backend = contestant.make(2);
    Pair pair(*backend, c.vocab, c.peak);
    const std::vector<SamplingParams> params = AllParams();
    for (int32_t slot = 0; slot < kSlots; ++slot)
      pair.Set(slot, {.params = params[static_cast<size_t>(slot)]}, {});
    for (int32_t step = 0; step < c.num_steps; ++step) {
      pair.Step(step);
      ASSERT_FALSE(testing::Test::HasFailure());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Draw, Plain,
                         testing::ValuesIn(Cases({0.5f, 3.0f, 12.0f}, {{17, 60}, {1000, 60}, {9001, 60}})),
                         CaseName);

// A random table in which something may follow in every state.
std::shared_ptr<const TokenAutomaton> RandomAutomaton(int32_t vocab, uint64_t seed) {
  PhiloxStream random(seed);
  TokenAutomaton automaton{.num_states = 7, .num_classes = 5, .token_class = {}, .next_state = {}};
  for (int32_t token = 0; token < vocab; ++token)
    automaton.token_class.push_back(static_cast<uint16_t>(random.Below(5)));
  for (int32_t i = 0; i < automaton.num_states * automaton.num_classes; ++i)
    automaton.next_state.push_back(random.Chance(0.5) || i % 5 == 0 ? random.Between(0, 6) : -1);
  return std::make_shared<const TokenAutomaton>(std::move(automaton));
}

// One of every kind of adjustment, over the policies of AllParams.
SamplingRequest AdjustedRequest(int32_t slot, int32_t vocab,
                                const std::vector<std::shared_ptr<const TokenAutomaton>>& automata) {
  SamplingRequest request{.params = AllParams()[static_cast<size_t>(slot)]};
  SamplingParams& params = request.params;
  params.top_logprobs = slot % 3 == 0 ? 20 : slot % 3;
  PhiloxStream random(static_cast<uint64_t>(slot) + 50);
  const auto add_biases = [&](int32_t every) {
    for (int32_t token = slot; token < vocab; token += every)
      request.bias.push_back(
          {token, random.Chance(0.3) ? kBan : static_cast<float>(random.Between(-99, 99)) / 8});
  };
  switch (slot) {
    case 0:
      params.repetition_penalty = 1.3f;
      break;
    case 1:
      params.presence_penalty = 1.5f;
      params.frequency_penalty = 0.3f;
      break;
    case 2:
      add_biases(vocab / 7 + 1);
      break;
    case 3:
      request.automaton = automata[0];
      break;
    case 4:
      request.automaton = automata[0];
      request.automaton_state = 3;
      params.repetition_penalty = 0.7f;
      add_biases(vocab / 900 + 2);
      break;
    case 5:
      request.automaton = automata[1];
      params.frequency_penalty = -0.2f;
      break;
    default:
      break;  // plain ones beside them
  }
  return request;
}

// Every adjustment beside every other and beside none, in slots that begin anew with others.
class Adjusted : public testing::TestWithParam<Case> {};

TEST_P(Adjusted, GivesTheTokensOfTheHostsSampler) {
  const Case& c = GetParam();
  const int32_t quarter = c.num_steps / 4;
  for (const Contestant& contestant : Contestants()) {
    SCOPED_TRACE(contestant.name);
    const auto backend = contestant.make(2);
    Pair pair(*backend, c.vocab, c.peak);
    std::vector<std::shared_ptr<const TokenAutomaton>> automata = {RandomAutomaton(c.vocab, 1),
                                                                   RandomAutomaton(c.vocab - 5, 2)};
    for (int32_t step = 0; step < c.num_steps; ++step) {
      const int32_t shift = step / quarter;  // slots are reused, and once all are plain
      for (int32_t slot = 0; slot < kSlots && step % quarter == 0; ++slot) {
        const int32_t kind = shift == 2 ? 7 : (slot + 3 * shift) % kSlots;
        if (shift == 1) automata[1] = RandomAutomaton(c.vocab, 9);
        pair.Set(slot, AdjustedRequest(kind, c.vocab, automata), {1, 2, 2, slot + 4, 16});
      }
      pair.Step(step);
      ASSERT_FALSE(testing::Test::HasFailure());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Draw, Adjusted,
                         testing::ValuesIn(Cases({0.5f, 6.0f},
                                                 {{17, 40}, {1000, 60}, {9001, 60}, {151'936, 8}})),
                         CaseName);

// Where all is forbidden one answer is over, and its neighbours go on; what begins in its slot is as new.
TEST(Draw, AnAnswerThatMayNotGoOnStandsAlone) {
  constexpr int32_t kVocab = 1000;
  SamplingRequest dead{.params = AllParams()[1]};
  dead.params.top_logprobs = 3;
  dead.automaton = std::make_shared<const TokenAutomaton>(TokenAutomaton{
      .num_states = 1, .num_classes = 1, .token_class = std::vector<uint16_t>(kVocab), .next_state = {-1}});
  for (const Contestant& contestant : Contestants()) {
    SCOPED_TRACE(contestant.name);
    const auto backend = contestant.make(2);
    Pair pair(*backend, kVocab, 3);
    for (int32_t slot = 0; slot < kSlots; ++slot) pair.Set(slot, {.params = AllParams()[1]}, {});
    pair.Set(3, dead, {});
    for (int32_t step = 0; step < 6; ++step) {
      if (step == 3) pair.Set(3, {.params = AllParams()[1]}, {});
      for (const DrawResult& drawn : pair.Step(step)) {
        const bool is_dead = drawn.slot == 3 && step < 3;
        EXPECT_EQ(drawn.token < 0, is_dead);
        EXPECT_EQ(drawn.top.size(), 0u);
      }
    }
  }
}

}  // namespace
}  // namespace fourstep
