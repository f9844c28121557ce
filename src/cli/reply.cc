#include "cli/reply.h"

#include <fmt/format.h>

#include <charconv>

namespace fourstep::cli {
namespace {

double Seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// 0.3f as 0.3, not as the double that it is.
double ShortestDouble(float value) {
  const std::string text = fmt::format("{}", value);
  double shortest = value;
  std::from_chars(text.data(), text.data() + text.size(), shortest);
  return shortest;
}

std::string_view TrimBlankLines(std::string_view text) {
  const size_t begin = text.find_first_not_of("\n");
  if (begin == text.npos) return "";
  return text.substr(begin, text.find_last_not_of("\n") + 1 - begin);
}

}  // namespace

void Reply::Add(const Event& event) {
  response_ += event.text;
  (event.is_reasoning ? reasoning_ : content_) += event.text;
  if (event.token >= 0) {
    last_token_ = Clock::now();
    if (num_tokens_ == 0) first_token_ = last_token_;
    ++num_tokens_;
    is_reasoning_ = event.is_reasoning;
  }
  if (event.finish == FinishReason::kNone) return;
  finish_ = event.finish;
  error_ = event.error;
  prompt_tokens_ = event.prompt_tokens;
  reused_tokens_ = event.reused_tokens;
}

std::string Reply::content() const {
  return std::string(TrimBlankLines(content_));
}

std::string Reply::reasoning() const {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  std::string_view text = TrimBlankLines(reasoning_);
  if (text.starts_with(kOpen)) text.remove_prefix(kOpen.size());
  if (text.ends_with(kClose)) text.remove_suffix(kClose.size());
  return std::string(TrimBlankLines(text));
}

double Reply::PrefillTokensPerSecond() const {
  if (!start_ || num_tokens_ == 0) return 0;
  const double seconds = Seconds(first_token_ - *start_);
  return seconds > 0 ? (prompt_tokens_ - reused_tokens_) / seconds : 0;
}

double Reply::DecodeTokensPerSecond() const {
  const double seconds = Seconds(last_token_ - first_token_);
  return start_ && num_tokens_ > 1 && seconds > 0 ? (num_tokens_ - 1) / seconds : 0;
}

std::string_view FinishName(FinishReason finish) {
  switch (finish) {
    case FinishReason::kNone:
      return "none";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "none";
}

Reply RunRequest(Engine& engine, const Request& request, const InterruptWatch& interrupts,
                 const std::function<void(const Event&)>& on_event) {
  Reply reply;
  reply.Start();
  const RequestId id = engine.Submit(request);
  bool is_cancelled = false;
  while (!engine.idle()) {
    if (interrupts.interrupted() && !is_cancelled) {
      engine.Cancel(id);
      is_cancelled = true;
    }
    for (const Event& event : engine.Step()) {
      reply.Add(event);
      on_event(event);
    }
  }
  return reply;
}

std::string StatisticsText(const Reply& reply) {
  std::string text = fmt::format("{} tokens", reply.num_tokens());
  if (reply.DecodeTokensPerSecond() > 0) {
    text += fmt::format(", {:.1f} tokens/s", reply.DecodeTokensPerSecond());
  }
  text += fmt::format("; prompt {} tokens", reply.prompt_tokens());
  if (reply.reused_tokens() > 0) text += fmt::format(" ({} kept from before)", reply.reused_tokens());
  if (reply.PrefillTokensPerSecond() > 0) {
    text += fmt::format(", {:.0f} tokens/s", reply.PrefillTokensPerSecond());
  }
  switch (reply.finish()) {
    case FinishReason::kLength:
      return text + (reply.ends_in_thought() ? "; cut off while thinking" : "; cut off");
    case FinishReason::kCancelled:
      return text + "; stopped";
    case FinishReason::kError:
      return text + "; failed: " + reply.error();
    default:
      return text + "; finished";
  }
}

Json SummaryJson(const Reply& reply, const EngineInfo& info) {
  Json summary = {{"type", "summary"},
                  {"content", reply.content()},
                  {"reasoning", reply.reasoning()},
                  {"response", reply.response()},
                  {"finish", FinishName(reply.finish())},
                  {"tokens", reply.num_tokens()},
                  {"tokens_per_s", reply.DecodeTokensPerSecond()},
                  {"prompt_tokens", reply.prompt_tokens()},
                  {"reused_tokens", reply.reused_tokens()},
                  {"prefill_tokens_per_s", reply.PrefillTokensPerSecond()},
                  {"architecture", info.architecture},
                  {"backend", info.backend},
                  {"numerics", info.numerics},
                  {"kv_cache", info.kv_cache}};
  if (!reply.error().empty()) summary["error"] = reply.error();
  return summary;
}

Json TokenJson(const Event& event) {
  Json json = {{"type", "token"},
               {"position", event.position},
               {"token", event.token},
               {"text", event.text},
               {"is_reasoning", event.is_reasoning},
               {"step", event.step},
               {"entropy", ShortestDouble(event.entropy)},
               {"step_entropy", ShortestDouble(event.step_entropy)},
               {"mean_entropy", ShortestDouble(event.mean_entropy)},
               {"threshold", ShortestDouble(event.threshold)},
               {"temperature", ShortestDouble(event.temperature)},
               {"logprob", ShortestDouble(event.logprob)}};
  for (const TopLogprob& top : event.top_logprobs) {
    json["top_logprobs"].push_back(
        {{"token", top.token}, {"text", top.text}, {"logprob", ShortestDouble(top.logprob)}});
  }
  return json;
}

}  // namespace fourstep::cli
