// One answer, from the request to its last token, and how long that took.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "cli/interrupt.h"
#include "fourstep/engine.h"

namespace fourstep::cli {

class Reply {
 public:
  // The clock runs from here on; without it there are no speeds.
  void Start() { start_ = Clock::now(); }

  void Add(const Event& event);

  std::string content() const;    // what comes after the thinking, without blank lines around it
  std::string reasoning() const;  // the thinking, without its tags and the blank lines around it
  const std::string& response() const { return response_; }  // everything that was written

  int32_t num_tokens() const { return num_tokens_; }
  FinishReason finish() const { return finish_; }
  const std::string& error() const { return error_; }
  int32_t prompt_tokens() const { return prompt_tokens_; }
  int32_t reused_tokens() const { return reused_tokens_; }
  bool ends_in_thought() const { return num_tokens_ > 0 && is_reasoning_; }

  double PrefillTokensPerSecond() const;  // 0 where nothing was measured
  double DecodeTokensPerSecond() const;   // 0 where there are fewer than two tokens

 private:
  using Clock = std::chrono::steady_clock;

  std::optional<Clock::time_point> start_;
  Clock::time_point first_token_, last_token_;
  std::string response_, content_, reasoning_, error_;
  int32_t num_tokens_ = 0, prompt_tokens_ = 0, reused_tokens_ = 0;
  bool is_reasoning_ = false;
  FinishReason finish_ = FinishReason::kNone;
};

// "stop", "length", "cancelled", "error".
std::string_view FinishName(FinishReason finish);

// Submits and steps to the end, handing every event to `on_event`. Ctrl-C cancels the answer, which then ends
// with kCancelled. Throws what Submit throws.
Reply RunRequest(Engine& engine, const Request& request, const InterruptWatch& interrupts,
                 const std::function<void(const Event&)>& on_event);

// For people: "42 tokens, 31.5 tokens/s; prompt 58 tokens, 410 tokens/s; stopped at max-tokens".
std::string StatisticsText(const Reply& reply);

// The last line of --json.
Json SummaryJson(const Reply& reply, const EngineInfo& info);

// One line of --json.
Json TokenJson(const Event& event);

}  // namespace fourstep::cli
