#include "fourstep/engine.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "backend/numerics.h"
#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"
#include "runtime/answer_patterns.h"
#include "runtime/backends.h"
#include "runtime/prompt_encoder.h"
#include "runtime/request_runner.h"
#include "runtime/sampling_defaults.h"
#include "sampling/policy.h"

namespace fourstep {
namespace {

constexpr int64_t kDefaultCacheTokens = 4096;  // for each sequence

void CheckOption(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) throw Errorf(name, "is {}, expected {}..{}", value, low, high);
}

void CheckOptions(const EngineOptions& options) {
  CheckOption("max_sequences", options.max_sequences, 1, 1024);
  CheckOption("prefill_chunk_tokens", options.prefill_chunk_tokens, 0, 1 << 15);
  CheckOption("cache_tokens", options.cache_tokens, 0, int64_t{1} << 30);
  if (options.model.empty()) throw Error("model", "is empty, expected the folder of a checkpoint");
}

SchedulerOptions PlanMemory(const EngineOptions& options, const HfConfig& config) {
  if (config.max_positions < 2)
    throw Errorf(config.where, "max_position_embeddings is {}, expected 2 or more", config.max_positions);
  const int64_t wanted = options.cache_tokens > 0
                             ? options.cache_tokens
                             : options.max_sequences * std::min(kDefaultCacheTokens, config.max_positions);
  const int64_t num_blocks = std::min((wanted + kCacheBlockTokens - 1) / kCacheBlockTokens, int64_t{1} << 26);
  return {.max_sequences = options.max_sequences,
          .prefill_chunk_tokens = options.prefill_chunk_tokens > 0 ? options.prefill_chunk_tokens
                                                                   : DefaultPrefillChunk(options.backend),
          .num_blocks = static_cast<int32_t>(num_blocks),
          .block_tokens = kCacheBlockTokens,
          .max_context_tokens =
              static_cast<int32_t>(std::min(config.max_positions, num_blocks * kCacheBlockTokens))};
}

// Ids from here on are padding of the model's vocabulary.
int32_t NumDrawable(const Tokenizer& tokenizer, const HfConfig& config) {
  return std::min(tokenizer.vocab_size(), static_cast<int32_t>(config.vocab_size));
}

// Which ids end reasoning steps, by decoding every one.
void SetBoundaryTokens(Backend& backend, const Tokenizer& tokenizer, int32_t num_drawable) {
  std::vector<int32_t> contains_blank_line, is_newline;
  for (int32_t id = 0; id < num_drawable; ++id) {
    const TokenClass token_class = ClassifyTokenText(tokenizer.TokenBytes(id));
    if (token_class == TokenClass::kBlankLine) contains_blank_line.push_back(id);
    if (token_class == TokenClass::kNewline) is_newline.push_back(id);
  }
  backend.SetBoundaryTokens(contains_blank_line, is_newline, num_drawable);
}

// Where a pattern begins to hold. A model that is asked to think may answer at once all the same.
AnswerPatterns::Begin BeginOf(const Request& request, bool in_thinking) {
  if (in_thinking) return AnswerPatterns::Begin::kThinking;
  const bool may_think = !request.messages.empty() && request.enable_thinking;
  return may_think ? AnswerPatterns::Begin::kEither : AnswerPatterns::Begin::kText;
}

}  // namespace

struct Engine::State {
  State(const EngineOptions& options, Checkpoint checkpoint);

  RequestId Submit(const Request& request);
  std::vector<Event> Step();
  void TakeInbox(std::vector<Event>& events);

  // Loaded once; read from any thread.
  const SchedulerOptions memory;
  const PromptEncoder encoder;
  const ControlTokens control;
  const SamplingDefaults defaults;
  EngineInfo info;
  AnswerPatterns patterns;

  std::unique_ptr<RequestRunner> runner;  // of the thread that steps

  // Between the threads that submit and the one that steps.
  mutable std::mutex mutex;
  std::vector<std::unique_ptr<RequestWork>> inbox;
  std::vector<RequestId> cancelled;
  RequestId last_id = 0;
  int64_t num_unfinished = 0;
  EngineLoad load;
};

// What is cheap to refuse comes before the weights.
Engine::State::State(const EngineOptions& options, Checkpoint checkpoint)
    : memory(PlanMemory(options, checkpoint.config())),
      encoder(checkpoint.folder(), options.chat_template,
              static_cast<int32_t>(checkpoint.config().vocab_size)),
      control(ControlTokens::Find(encoder.tokenizer(), encoder.chat_template(), checkpoint.eos_token_ids())),
      defaults(SamplingDefaults::Load(checkpoint.folder(), checkpoint.generation())),
      patterns(encoder.tokenizer(), control, NumDrawable(encoder.tokenizer(), checkpoint.config())) {
  const std::optional<Numerics> numerics = ParseNumerics(options.numerics);
  const std::optional<KvCacheFormat> kv_cache = ParseKvCacheFormat(options.kv_cache);
  std::unique_ptr<Backend> backend =
      MakeBackend({.name = options.backend,
                   .cpu_path = options.cpu_path,
                   .num_threads = options.num_threads,
                   .max_rows = memory.prefill_chunk_tokens + memory.max_sequences});
  std::unique_ptr<Model> model = Model::Load(checkpoint, *backend,
                                             {.numerics = numerics,
                                              .kv_cache = kv_cache,
                                              .max_slots = memory.max_sequences,
                                              .block_tokens = memory.block_tokens,
                                              .num_cache_blocks = memory.num_blocks});
  const auto vocab_size = static_cast<int32_t>(checkpoint.config().vocab_size);
  SetBoundaryTokens(*backend, encoder.tokenizer(), NumDrawable(encoder.tokenizer(), checkpoint.config()));
  info = {.architecture = checkpoint.config().architecture,
          .backend = backend->name(),
          .numerics = std::string(NumericsName(model->numerics())),
          .kv_cache = std::string(KvCacheFormatName(model->kv_cache())),
          .chat_template = std::string(encoder.chat_template() ? encoder.chat_template()->name() : ""),
          .num_parameters = model->num_parameters(),
          .weight_bytes_per_token = model->weight_bytes_per_token(),
          .vocab_size = vocab_size,
          .max_context_tokens = memory.max_context_tokens,
          .default_policy = defaults.Describe()};
  load.cache_tokens = int64_t{memory.num_blocks} * memory.block_tokens;
  runner = std::make_unique<RequestRunner>(std::move(backend), std::move(model), memory);
}

RequestId Engine::State::Submit(const Request& request) {
  if (request.max_tokens < 0)
    throw Errorf("max_tokens", "is {}, expected 0 (no limit) or more", request.max_tokens);
  SamplingRequest sampling{.params = defaults.Resolve(request.sampling),
                           .bias = ResolveLogitBias(request.sampling, info.vocab_size)};
  PromptEncoder::Prompt prompt = encoder.Encode(request);
  if (prompt.tokens.size() >= static_cast<size_t>(memory.max_context_tokens)) {
    throw Errorf(request.messages.empty() ? "prompt" : "messages",
                 "has {} tokens, expected at most {}: context and cache hold {} with the answer",
                 prompt.tokens.size(), memory.max_context_tokens - 1, memory.max_context_tokens);
  }
  patterns.Set(request.sampling, BeginOf(request, prompt.in_thinking), sampling);
  const bool may_forbid_all = !sampling.bias.empty() || sampling.automaton != nullptr;
  const auto num_prompt = static_cast<int32_t>(prompt.tokens.size());
  int32_t max_tokens = memory.max_context_tokens - num_prompt;
  if (request.max_tokens > 0) max_tokens = std::min(max_tokens, request.max_tokens);

  const std::lock_guard lock(mutex);
  const RequestId id = ++last_id;
  ++num_unfinished;
  inbox.push_back(std::make_unique<RequestWork>(RequestWork{
      .sequence = {.id = id,
                   .sampling = std::move(sampling),
                   .tokens = std::move(prompt.tokens),
                   .num_prompt = num_prompt,
                   .max_length = num_prompt + max_tokens},
      .answer = Answer(
          id, encoder.tokenizer(), control, prompt.in_thinking,
          {.max_tokens = max_tokens, .ignore_eos = request.ignore_eos, .may_forbid_all = may_forbid_all})}));
  return id;
}

void Engine::State::TakeInbox(std::vector<Event>& events) {
  std::vector<std::unique_ptr<RequestWork>> new_works;
  std::vector<RequestId> to_cancel;
  {
    const std::lock_guard lock(mutex);
    new_works.swap(inbox);
    to_cancel.swap(cancelled);
  }
  for (std::unique_ptr<RequestWork>& work : new_works) runner->Add(std::move(work));
  for (const RequestId id : to_cancel) runner->Cancel(id, events);
}

std::vector<Event> Engine::State::Step() {
  std::vector<Event> events;
  TakeInbox(events);
  runner->Step(events);

  const auto num_finished = std::count_if(
      events.begin(), events.end(), [](const Event& event) { return event.finish != FinishReason::kNone; });
  const Scheduler& scheduler = runner->scheduler();
  const std::lock_guard lock(mutex);
  num_unfinished -= num_finished;
  load.running = scheduler.num_running();
  load.waiting = scheduler.num_waiting();
  const KvCache& cache = scheduler.cache();
  load.cache_tokens_used = int64_t{cache.num_blocks() - cache.num_unreferenced()} * cache.block_tokens();
  load.preemptions = scheduler.num_preemptions();
  return events;
}

Engine::Engine(const EngineOptions& options) {
  CheckOptions(options);
  state_ = std::make_unique<State>(options, Checkpoint::Open(options.model));
}

Engine::~Engine() = default;

const EngineInfo& Engine::info() const {
  return state_->info;
}

EngineLoad Engine::load() const {
  const std::lock_guard lock(state_->mutex);
  EngineLoad load = state_->load;
  load.waiting += static_cast<int32_t>(state_->inbox.size());
  return load;
}

RequestId Engine::Submit(const Request& request) {
  return state_->Submit(request);
}

void Engine::Cancel(RequestId request) {
  const std::lock_guard lock(state_->mutex);
  state_->cancelled.push_back(request);
}

bool Engine::idle() const {
  const std::lock_guard lock(state_->mutex);
  return state_->num_unfinished == 0;
}

std::vector<Event> Engine::Step() {
  return state_->Step();
}

std::string Engine::PolicyText(const Sampling& sampling) const {
  return state_->defaults.Describe(sampling);
}

std::vector<int32_t> Engine::PromptTokens(const Request& request) const {
  return state_->encoder.Encode(request).tokens;
}

}  // namespace fourstep
