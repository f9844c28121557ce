// fourstep: a 4-bit reasoning model that answers requests. The only installed header; standard types only.
//
//   fourstep::Engine engine({.model = "models/abacus"});
//   fourstep::Request request{.messages = {{.role = "user", .content = "What is 17*23?"}}};
//   engine.Submit(request);
//   while (!engine.idle())
//     for (const fourstep::Event& event : engine.Step()) std::cout << event.text;
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fourstep {

struct EngineOptions {
  std::string model = {};          // folder of a Hugging Face checkpoint
  std::string backend = "cpu";     // "cpu", "reference"; BackendNames() lists what this build has
  std::string cpu_path = {};       // "avx512-vnni", "avx2", "portable"; empty: the best of the machine
  std::string numerics = {};       // "w4a4", "w4a16", "bf16"; empty: the best that the checkpoint allows
  std::string kv_cache = {};       // "bf16", "fp8"; empty: what the checkpoint asks for, else "bf16"
  std::string chat_template = {};  // empty: the checkpoint's own
  int32_t num_threads = 0;         // 0: as many as the process may use cores
  int32_t max_sequences = 8;       // answered at a time; further ones wait
  // Of a step; 0: what suits the backend.
  int32_t prefill_chunk_tokens = 0;
  int64_t cache_tokens = 0;  // KV cache of all sequences together; 0: max_sequences times 4,096, or fewer
                             // where the model's context is shorter
};

struct Message {
  std::string role = {};  // "system", "user", "assistant"
  std::string content = {};
  std::optional<std::string> reasoning = {};  // an assistant's, apart from its content
};

// Added to the logit of a token; exactly -100 forbids it.
struct LogitBias {
  int32_t token = -1;
  double bias = 0;  // -100..100
};

// The decoding policy and what acts beside it: docs/sampling.md has the order and every definition. Absent
// values are the model's: reset.json or a published preset
// for "reset", generation_config.json for the rest, else T 0.6 and top-p 0.95. A parameter of another policy
// than the request's is an error.
struct Sampling {
  // "reset", "fixed", "greedy", "dynatemp". Empty: the one that the parameters below belong to; where none of
  // them is given, "reset" if parameters of it are known for the model, else "fixed".
  std::string policy = {};
  std::optional<double> temperature = {};                     // fixed
  std::optional<double> t_high = {}, t_low = {}, tau_0 = {};  // reset; tau_0 in nats
  std::optional<int32_t> window = {};                         // reset, in tokens
  bool token_gate_only = false;     // reset, ablation: the threshold is always tau_0
  std::string step_estimator = {};  // reset, ablation: "hybrid" (also where empty), "causal-mean",
                                    // "ema-from-window", "ema-from-first"
  std::optional<double> dynatemp_low = {}, dynatemp_high = {}, dynatemp_exponent = {};
  std::optional<double> top_p = {}, min_p = {};
  std::optional<int32_t> top_k = {};
  std::optional<double> repetition_penalty = {};  // 0.1..10, of tokens of the prompt and the answer
  std::optional<double> presence_penalty = {}, frequency_penalty = {};  // -2..2, of tokens of the answer
  std::vector<LogitBias> logit_bias = {};                               // each token once, at most 1,024
  std::string regex = {};  // the answer, after the thinking if there is any, matches it as a whole
  std::vector<std::string> choices = {};  // the answer is one of these; not beside a regex
  int32_t top_logprobs = 0;               // 0..20: how many tokens are told beside each token drawn
  uint64_t seed = 0;
};

struct Request {
  std::vector<Message> messages = {};  // a conversation, through the chat template; or else:
  std::string prompt = {};             // text as it is, special tokens parsed, none added
  bool enable_thinking = true;
  Sampling sampling = {};
  int32_t max_tokens = 0;   // of the answer; 0, or more than that: as far as the context reaches
  bool ignore_eos = false;  // benchmarks: go on to max_tokens
};

using RequestId = int64_t;

enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };

// A token that might have come, and ln p of the raw logits.
struct TopLogprob {
  int32_t token = -1;
  float logprob = 0;
  std::string text = {};  // valid UTF-8: bytes that are no whole characters are replaced
};

// One token of an answer, or its end: the last event of a request has a finish reason (and a token, except
// where it was cancelled or failed).
struct Event {
  RequestId request = 0;
  int32_t token = -1;
  std::string text = {};      // what the token completes, valid UTF-8, may be empty; without special tokens
  bool is_reasoning = false;  // the token belongs to the thinking part, <think> and </think> included
  int32_t position = -1;      // in the answer, from 0
  // What the policy saw and chose, entropies in nats.
  int32_t step = 0;
  float entropy = 0, step_entropy = 0, mean_entropy = 0, threshold = 0, temperature = 0, logprob = 0;
  std::vector<TopLogprob> top_logprobs = {};  // most probable first, then the lowest id
  FinishReason finish = FinishReason::kNone;
  std::string error = {};     // with kError
  int32_t prompt_tokens = 0;  // with a finish reason
  int32_t reused_tokens = 0;  // of the prompt: found in the cache, with a finish reason
};

// What was loaded and is running.
struct EngineInfo {
  std::string architecture = {}, backend = {}, numerics = {}, kv_cache = {};
  std::string chat_template = {};  // empty: the checkpoint has none that is known; only prompts are served
  int64_t num_parameters = 0, weight_bytes_per_token = 0;
  int32_t vocab_size = 0;
  int32_t max_context_tokens = 0;   // prompt and answer: the model's, or what the cache holds if that is less
  std::string default_policy = {};  // what an empty Sampling::policy means, with its parameters
};

// What it is doing, as of the last Step.
struct EngineLoad {
  int32_t running = 0, waiting = 0;
  int64_t cache_tokens = 0, cache_tokens_used = 0;  // used: by running sequences
  int64_t preemptions = 0;  // running sequences that had to wait again because the cache ran out, so far
};

class Engine {
 public:
  // Throws an exception whose what() is one line for people.
  explicit Engine(const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const EngineInfo& info() const;
  EngineLoad load() const;  // from any thread

  // Throws where the request cannot be served: no messages and no prompt, a parameter out of range, a prompt
  // that does not fit the context. May be called from any thread, during Step too. First come, first served.
  RequestId Submit(const Request& request);
  // The answer ends with kCancelled at the next Step; unknown and finished ids are ignored. From any thread.
  void Cancel(RequestId request);
  bool idle() const;  // nothing submitted is unfinished. From any thread.

  // One step of all running sequences: a token each, and a chunk of a waiting prompt. Events of one request
  // come in order. From one thread at a time.
  std::vector<Event> Step();

  // The policy and its parameters that such a request would run with, for people: "reset (T_low 0.1, T_high
  // 1, tau_0 0.55, window 32), top-p 0.95". Throws as Submit.
  std::string PolicyText(const Sampling& sampling) const;

  // The tokens that the model would see for this request.
  std::vector<int32_t> PromptTokens(const Request& request) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::vector<std::string> BackendNames();

}  // namespace fourstep
