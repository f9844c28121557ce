// The runner on a backend that lacks memory for what some requests ask of the sampler.
#include "runtime/request_runner.h"

#include <gtest/gtest.h>

#include "backend/forwarding_backend.h"
#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "engine_driver.h"
#include "runtime/backends.h"

namespace fourstep {
namespace {

constexpr char kRefusal[] = "penalties: needs 1 MiB of the GPU's memory, more than is free";
constexpr int32_t kVocab = 320, kChunkTokens = 24, kMaxTokens = 6;

class ShortOfMemory final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void SetSlot(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt) override {
    if (request.has_notes() || request.automaton != nullptr)
      throw Error("penalties", "needs 1 MiB of the GPU's memory, more than is free");
    ForwardingBackend::SetSlot(slot, request, prompt);
  }
};

// A runner of a tiny model, two sequences at a time.
class TinyRunner {
 public:
  TinyRunner() : tokenizer_(Tokenizer::Load(TinyModel("tiny-qwen3"))) {
    constexpr SchedulerOptions kMemory{.max_sequences = 2,
                                       .prefill_chunk_tokens = kChunkTokens,
                                       .num_blocks = 8,
                                       .block_tokens = 16,
                                       .max_context_tokens = 64};
    auto backend = std::make_unique<ShortOfMemory>(
        MakeBackend({.name = "reference", .cpu_path = {}, .max_rows = kChunkTokens + 2}));
    Checkpoint checkpoint = Checkpoint::Open(TinyModel("tiny-qwen3"));
    auto model = Model::Load(checkpoint, *backend,
                             {.numerics = {},
                              .max_slots = kMemory.max_sequences,
                              .block_tokens = kMemory.block_tokens,
                              .num_cache_blocks = kMemory.num_blocks});
    backend->SetBoundaryTokens({}, {}, kVocab);
    runner_.emplace(std::move(backend), std::move(model), kMemory);
  }

  // `prompt`: how many tokens, of ids that begin with `first`.
  void Add(RequestId id, int32_t first, int32_t prompt, const SamplingRequest& sampling) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < prompt; ++i) tokens.push_back((first + 7 * i) % kVocab);
    runner_->Add(std::make_unique<RequestWork>(
        RequestWork{.sequence = {.id = id,
                                 .sampling = sampling,
                                 .tokens = std::move(tokens),
                                 .num_prompt = prompt,
                                 .max_length = prompt + kMaxTokens},
                    .answer = Answer(id, tokenizer_, control_, /*in_thinking=*/false,
                                     {.max_tokens = kMaxTokens, .ignore_eos = true})}));
    ++num_unfinished_;
  }

  EventLog Run() {
    EventLog log;
    for (int step = 0; num_unfinished_ > 0 && step < 1000; ++step) {
      std::vector<Event> events;
      runner_->Step(events);
      for (const Event& event : events) num_unfinished_ -= event.finish != FinishReason::kNone;
      log.Add(events);
    }
    EXPECT_EQ(num_unfinished_, 0);
    const Scheduler& scheduler = runner_->scheduler();
    EXPECT_EQ(scheduler.num_running() + scheduler.num_waiting(), 0);
    EXPECT_EQ(scheduler.cache().num_unreferenced(), scheduler.cache().num_blocks());
    return log;
  }

 private:
  Tokenizer tokenizer_;
  const ControlTokens control_ = {};
  std::optional<RequestRunner> runner_;
  int num_unfinished_ = 0;
};

SamplingRequest Seeded(uint64_t seed) {
  SamplingRequest request;
  request.params.policy.temperature = 1;
  request.params.seed = seed;
  return request;
}

SamplingRequest Penalised() {
  SamplingRequest request = Seeded(9);
  request.params.frequency_penalty = 1;
  return request;
}

SamplingRequest Patterned() {
  SamplingRequest request = Seeded(9);
  request.automaton = std::make_shared<const TokenAutomaton>(TokenAutomaton{
      .num_states = 1, .num_classes = 1, .token_class = std::vector<uint16_t>(kVocab), .next_state = {0}});
  return request;
}

TEST(RequestRunner, ARequestWithoutMemoryForItsSamplerFailsAlone) {
  struct Kind {
    int32_t first, prompt;  // tokens
    SamplingRequest sampling;
    bool fails;
  };
  // Prompts of one step and of several; those that fail, alone in a step and beside others. The last ones
  // have the same prompts again, and find in the cache what those that failed computed.
  const Kind kinds[] = {{1, 5, Penalised(), true},  {2, 6, Seeded(1), false},  {3, 3, Patterned(), true},
                        {4, 35, Penalised(), true}, {5, 20, Seeded(2), false}, {6, 2, Penalised(), true},
                        {7, 1, Patterned(), true},  {8, 30, Seeded(3), false}, {4, 35, Seeded(4), false},
                        {4, 35, Patterned(), true}, {3, 3, Seeded(5), false}};
  TinyRunner runner;
  RequestId id = 0;
  for (const Kind& kind : kinds) runner.Add(++id, kind.first, kind.prompt, kind.sampling);
  const EventLog log = runner.Run();
  id = 0;
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(++id);
    if (kind.fails) {
      ASSERT_EQ(log.Of(id).size(), 1u);
      EXPECT_EQ(log.Of(id)[0].finish, FinishReason::kError);
      EXPECT_EQ(log.Of(id)[0].error, kRefusal);
      EXPECT_EQ(log.Of(id)[0].prompt_tokens, kind.prompt);
      continue;
    }
    TinyRunner alone;
    alone.Add(id, kind.first, kind.prompt, kind.sampling);
    ExpectSameAnswer(alone.Run().Of(id), log.Of(id));
    EXPECT_EQ(log.Of(id).size(), size_t{kMaxTokens});
    if (kind.first == 4) {
      EXPECT_EQ(log.Of(id).back().reused_tokens, 16);
    }
  }
}

}  // namespace
}  // namespace fourstep
