#include "cli/decode_bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "cli/read_bandwidth.h"
#include "cli/timing.h"
#include "fourstep/engine.h"

namespace fourstep::cli {
namespace {

Request TextRequest(const std::string& text) {
  Request request;
  request.prompt = text;
  return request;
}

// Some text of at least `prompt_tokens` tokens; `variant` makes its first token another one, so that no
// prompt finds another's in the cache.
std::string PromptOf(const Engine& engine, int32_t prompt_tokens, int variant) {
  std::string text = fmt::format("{}", variant);
  const auto num_tokens = [&] { return static_cast<int32_t>(engine.PromptTokens(TextRequest(text)).size()); };
  while (num_tokens() < prompt_tokens) {
    for (int i = 0; i < 16; ++i) text += fmt::format(" {} and {}", i * 7 % 10, i * 3 % 10);
  }
  return text;
}

struct DecodeResult {
  int32_t batch = 0;
  double step_us = 0, step_us_worst = 0;  // median and slowest step in which every sequence decodes
  std::vector<int32_t> tokens;            // of the first sequence: the answer that is checked
};

struct PrefillResult {
  int32_t prompt_tokens = 0;
  double tokens_per_s = 0;
};

RequestId SubmitPrompt(Engine& engine, const DecodeBenchOptions& options, int variant) {
  Request request = TextRequest(PromptOf(engine, options.prompt_tokens, variant));
  request.sampling.policy = "fixed";
  request.sampling.temperature = 1.0;
  request.ignore_eos = true;
  request.max_tokens = 4 * options.tokens;
  return engine.Submit(request);
}

void CancelAll(Engine& engine, const std::vector<RequestId>& requests) {
  for (const RequestId request : requests) engine.Cancel(request);
  while (!engine.idle()) engine.Step();
}

// Until the first token, with nothing else running.
PrefillResult MeasurePrefill(Engine& engine, const DecodeBenchOptions& options, int variant) {
  const auto started = Clock::now();
  const RequestId request = SubmitPrompt(engine, options, variant);
  while (engine.Step().empty()) {
  }
  const double seconds = MicrosecondsSince(started) * 1e-6;
  CancelAll(engine, {request});
  const std::string prompt = PromptOf(engine, options.prompt_tokens, variant);
  const auto tokens = static_cast<int32_t>(engine.PromptTokens(TextRequest(prompt)).size());
  return {tokens, tokens / seconds};
}

// Steps in which all `batch` sequences decode, until options.tokens of them are timed.
DecodeResult MeasureDecode(Engine& engine, const DecodeBenchOptions& options, int32_t batch) {
  DecodeResult result{.batch = batch, .tokens = {}};
  std::vector<RequestId> requests;
  for (int i = 0; i < batch; ++i) requests.push_back(SubmitPrompt(engine, options, i));
  std::vector<double> steps_us;
  while (static_cast<int32_t>(steps_us.size()) < options.tokens && !engine.idle()) {
    const auto started = Clock::now();
    const std::vector<Event> events = engine.Step();
    if (static_cast<int32_t>(events.size()) == batch) steps_us.push_back(MicrosecondsSince(started));
    for (const Event& event : events) {
      if (event.finish == FinishReason::kError) throw std::runtime_error(event.error);
      if (event.request == requests[0]) result.tokens.push_back(event.token);
    }
  }
  CancelAll(engine, requests);
  if (steps_us.empty()) throw Error("--tokens", "too few to time a step: raise it, or lower --prompt-tokens");
  std::sort(steps_us.begin(), steps_us.end());
  result.step_us = steps_us[steps_us.size() / 2];
  result.step_us_worst = steps_us.back();
  return result;
}

// The tokens of one request may not depend on how many others run: a fast wrong answer must not win.
void CheckSameAnswer(const std::vector<DecodeResult>& results) {
  for (const DecodeResult& result : results) {
    const size_t shared = std::min(result.tokens.size(), results[0].tokens.size());
    if (!std::equal(result.tokens.begin(), result.tokens.begin() + static_cast<ptrdiff_t>(shared),
                    results[0].tokens.begin())) {
      throw std::runtime_error(fmt::format("the first request's tokens differ between batch {} and batch {}",
                                           results[0].batch, result.batch));
    }
  }
}

void Print(const DecodeBenchOptions& options, const std::string& model, const EngineInfo& info,
           double read_gbps, const PrefillResult& prefill, const std::vector<DecodeResult>& results) {
  const auto weight_gbps = [&](const DecodeResult& r) {
    return static_cast<double>(info.weight_bytes_per_token) * 1e-3 / r.step_us;
  };
  if (options.json) {
    Json rows = Json::array();
    for (const DecodeResult& r : results) {
      rows.push_back({{"batch", r.batch},
                      {"step_us", r.step_us},
                      {"step_us_worst", r.step_us_worst},
                      {"tokens_per_s", r.batch * 1e6 / r.step_us},
                      {"weight_gbps", weight_gbps(r)}});
    }
    fmt::print("{}\n", DumpJson({{"model", model},
                                 {"backend", info.backend},
                                 {"numerics", info.numerics},
                                 {"kv_cache", info.kv_cache},
                                 {"weight_bytes_per_token", info.weight_bytes_per_token},
                                 {"read_gbps", read_gbps},
                                 {"prompt_tokens", prefill.prompt_tokens},
                                 {"prefill_tokens_per_s", prefill.tokens_per_s},
                                 {"decode", rows}}));
    return;
  }
  fmt::print("{}, {}, {}, {} cache\n", model, info.backend, info.numerics, info.kv_cache);
  const bool is_cached = info.weight_bytes_per_token < sysconf(_SC_LEVEL3_CACHE_SIZE);
  fmt::print("{:.1f} MB of weights a token{}; memory reads at {:.1f} GB/s\n",
             static_cast<double>(info.weight_bytes_per_token) * 1e-6,
             is_cached ? " (they fit the last cache)" : "", read_gbps);
  fmt::print("prefill of {} tokens: {:.0f} tokens/s\n\n", prefill.prompt_tokens, prefill.tokens_per_s);
  fmt::print("batch   step median      worst    tokens/s   weights GB/s   of reads\n");
  for (const DecodeResult& r : results) {
    fmt::print("{:5} {:10.0f} us {:7.0f} us {:11.1f} {:14.2f} {:9.0f} %\n", r.batch, r.step_us,
               r.step_us_worst, r.batch * 1e6 / r.step_us, weight_gbps(r), 100 * weight_gbps(r) / read_gbps);
  }
}

}  // namespace

void RunDecodeBench(DecodeBenchOptions options) {
  const int32_t max_sequences = *std::max_element(options.batches.begin(), options.batches.end());
  if (options.model.context_tokens == 0)
    options.model.context_tokens = options.prompt_tokens + 4 * options.tokens + 64;
  const EngineOptions resolved = options.model.Resolve(max_sequences);
  const double read_gbps = ReadGbpsOf(resolved.backend, resolved.num_threads);
  Engine engine(resolved);
  const PrefillResult prefill = MeasurePrefill(engine, options, 1000);
  std::vector<DecodeResult> results;
  for (const int32_t batch : options.batches) results.push_back(MeasureDecode(engine, options, batch));
  CheckSameAnswer(results);
  Print(options, resolved.model, engine.info(), read_gbps, prefill, results);
}

}  // namespace fourstep::cli
