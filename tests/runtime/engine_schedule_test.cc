// The engine's main promise: a request's answer is the same, bit for bit, whatever runs beside it and however
// the work is cut.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/philox.h"
#include "engine_driver.h"

namespace fourstep {
namespace {

constexpr int32_t kPoolSize = 24, kMaxAnswer = 40;
constexpr int64_t kLeastCacheTokens = 192;  // the longest request of the pool fits

Sampling RandomSampling(PhiloxStream& random) {
  const std::vector<Sampling> choices = {
      {},
      {.policy = "greedy"},
      {.temperature = 2.0, .top_p = 1.0, .top_k = 0},
      {.t_low = 0.3, .tau_0 = 2.0, .window = 4},
      {.t_low = 0.5, .tau_0 = 1.0, .step_estimator = "ema-from-window"},
      {.t_low = 0.5, .tau_0 = 1.0, .token_gate_only = true, .min_p = 0.05},
      {.dynatemp_high = 1.5, .top_k = 50},
      {.temperature = 1.5, .repetition_penalty = 1.5, .top_logprobs = 3},
      {.policy = "greedy",
       .presence_penalty = 1,
       .frequency_penalty = 0.5,
       .logit_bias = {{5, 4}, {9, -100}}},
      {.temperature = 1.5, .frequency_penalty = -0.5, .regex = "([a-f]+ ){2,}[0-9]{8}"},
      {.t_low = 0.5, .tau_0 = 1.0, .choices = {"one two three", "one and two", "two"}, .top_logprobs = 20},
  };
  Sampling sampling = choices[random.Below(static_cast<uint32_t>(choices.size()))];
  sampling.seed = random.Below(4);
  return sampling;
}

// Conversations and prompts that begin alike, so that their prefixes meet in the cache.
std::vector<Request> MakePool(uint64_t seed) {
  PhiloxStream random(seed, 1);
  const std::vector<std::string> words = {"add ", "one", " two\n", "\n\n", "so ", "17*23 "};
  std::vector<Request> pool;
  for (int32_t i = 0; i < kPoolSize; ++i) {
    std::string text = i % 3 == 0 ? "Please add these numbers: " : "";
    const int32_t num_words = random.Between(1, 12);
    for (int32_t w = 0; w < num_words; ++w) text += words[random.Below(6)];
    Request request{.sampling = RandomSampling(random), .max_tokens = random.Between(1, kMaxAnswer)};
    request.ignore_eos = random.Chance(0.3);
    if (random.Chance(0.5)) {
      request.messages = {{.role = "user", .content = text}};
      if (random.Chance(0.3))
        request.messages.insert(request.messages.begin(), {"system", "Think, then answer."});
    } else {
      request.prompt = text;
    }
    pool.push_back(std::move(request));
  }
  return pool;
}

std::vector<std::vector<Event>> AnswersAlone(const EngineOptions& options, const std::vector<Request>& pool) {
  std::vector<std::vector<Event>> answers;
  for (const Request& request : pool) {
    Engine engine(options);
    answers.push_back(RunOne(engine, request));
    EXPECT_EQ(answers.back().back().reused_tokens, 0);
    EXPECT_LT(answers.back().back().prompt_tokens + kMaxAnswer, kLeastCacheTokens);
  }
  return answers;
}

struct Totals {
  int64_t reused = 0, preemptions = 0, cancelled = 0, finished = 0, stopped = 0;
};

EngineOptions RandomOptions(EngineOptions options, PhiloxStream& random) {
  options.num_threads = random.Between(1, 4);
  options.max_sequences = random.Between(1, 6);
  options.prefill_chunk_tokens = random.Chance(0.5) ? random.Between(1, 16) : random.Between(17, 128);
  options.cache_tokens = kLeastCacheTokens + (random.Chance(0.6) ? random.Between(0, 64) : 2000);
  return options;
}

void RunSchedule(const EngineOptions& base, const std::vector<Request>& pool,
                 const std::vector<std::vector<Event>>& alone, uint64_t seed, Totals& totals) {
  PhiloxStream random(seed, 2);
  Engine engine(RandomOptions(base, random));
  std::map<RequestId, size_t> submitted;
  EventLog log;
  const size_t num_requests = static_cast<size_t>(random.Between(10, 30));
  const double submit_chance = random.Chance(0.5) ? 0.1 : 0.8;
  while (submitted.size() < num_requests || !engine.idle()) {
    while (submitted.size() < num_requests && random.Chance(submit_chance)) {
      const size_t which = random.Below(kPoolSize);
      submitted[engine.Submit(pool[which])] = which;
    }
    if (!submitted.empty() && random.Chance(0.03))
      engine.Cancel(1 + random.Below(static_cast<uint32_t>(submitted.size())));
    log.Add(engine.Step());
    if (testing::Test::HasFatalFailure()) return;
  }
  ASSERT_EQ(log.size(), submitted.size());
  for (const auto& [id, which] : submitted) {
    ASSERT_TRUE(log.IsFinished(id));
    ExpectSameAnswer(alone[which], log.Of(id));
    const Event& last = log.Of(id).back();
    totals.reused += last.reused_tokens;
    totals.cancelled += last.finish == FinishReason::kCancelled;
    totals.stopped += last.finish == FinishReason::kStop;
    ++totals.finished;
  }
  EXPECT_EQ(engine.load().cache_tokens_used, 0);
  EXPECT_EQ(engine.load().running + engine.load().waiting, 0);
  totals.preemptions += engine.load().preemptions;
}

struct Arm {
  const char* model;
  const char* numerics;
  const char* backend;
  uint64_t num_schedules;
  bool may_stop;  // random weights seldom end an answer; these do
  const char* kv_cache = "bf16";
};

class EngineSchedule : public testing::TestWithParam<Arm> {};

TEST_P(EngineSchedule, EveryAnswerIsTheOneAlone) {
  const Arm& arm = GetParam();
  const EngineOptions options{.model = TinyModel(arm.model),
                              .backend = arm.backend,
                              .numerics = arm.numerics,
                              .kv_cache = arm.kv_cache,
                              .num_threads = 1};
  const std::vector<Request> pool = MakePool(3);
  const std::vector<std::vector<Event>> alone = AnswersAlone(options, pool);
  Totals totals;
  for (uint64_t seed = 0; seed < arm.num_schedules; ++seed) {
    RunSchedule(options, pool, alone, seed, totals);
    ASSERT_FALSE(HasFailure()) << "schedule " << seed;
  }
  // The property says nothing where these do not happen.
  EXPECT_GT(totals.reused, 0);
  EXPECT_GT(totals.preemptions, 0);
  EXPECT_GT(totals.cancelled, 0);
  if (arm.may_stop) {
    EXPECT_GT(totals.stopped, 0);
  }
  std::printf("%ld answers (%ld stopped, %ld cancelled), %ld tokens reused, %ld preemptions\n",
              static_cast<long>(totals.finished), static_cast<long>(totals.stopped),
              static_cast<long>(totals.cancelled), static_cast<long>(totals.reused),
              static_cast<long>(totals.preemptions));
}

INSTANTIATE_TEST_SUITE_P(Models, EngineSchedule,
                         testing::Values(Arm{"tiny-qwen3-nvfp4", "w4a4", "cpu", 16, true},
                                         Arm{"tiny-qwen3", "bf16", "cpu", 8, true},
                                         Arm{"tiny-qwen3-nvfp4", "w4a4", "cpu", 8, false, "fp8"},
                                         Arm{"tiny-llama-nvfp4a16", "w4a16", "cpu", 8, false},
                                         Arm{"tiny-qwen2-nvfp4", "w4a4", "reference", 3, false}),
                         [](const auto& arm) {
                           return fmt::format("{}_{}_{}_cache", arm.param.backend, arm.param.numerics,
                                              arm.param.kv_cache);
                         });

}  // namespace
}  // namespace fourstep
