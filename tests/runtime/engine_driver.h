// Drives an engine and keeps account of its events: what the engine's tests share.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "fourstep/engine.h"

namespace fourstep {

inline std::string TinyModel(const std::string& name) {
  return std::string(FOURSTEP_SOURCE_DIR "/tests/model/data/") + name;
}

// The events of every request, checked for order as they come.
class EventLog {
 public:
  void Add(const std::vector<Event>& events) {
    for (const Event& event : events) {
      std::vector<Event>& log = events_[event.request];
      ASSERT_TRUE(log.empty() || log.back().finish == FinishReason::kNone) << "an event after the last";
      const bool has_token = event.finish != FinishReason::kCancelled && event.finish != FinishReason::kError;
      ASSERT_EQ(event.token >= 0, has_token);
      ASSERT_EQ(event.position, has_token ? static_cast<int32_t>(log.size()) : -1);
      ASSERT_EQ(event.error.empty(), event.finish != FinishReason::kError);
      ASSERT_EQ(event.prompt_tokens > 0, event.finish != FinishReason::kNone);
      log.push_back(event);
    }
  }

  bool IsFinished(RequestId id) const {
    const auto found = events_.find(id);
    return found != events_.end() && found->second.back().finish != FinishReason::kNone;
  }
  const std::vector<Event>& Of(RequestId id) const { return events_.at(id); }
  size_t size() const { return events_.size(); }

 private:
  std::map<RequestId, std::vector<Event>> events_;
};

inline EventLog RunUntilIdle(Engine& engine) {
  EventLog log;
  for (int step = 0; !engine.idle() && step < 100000; ++step) log.Add(engine.Step());
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(engine.load().cache_tokens_used, 0);
  EXPECT_EQ(engine.load().running + engine.load().waiting, 0);
  return log;
}

inline std::vector<Event> RunOne(Engine& engine, const Request& request) {
  const RequestId id = engine.Submit(request);
  return RunUntilIdle(engine).Of(id);
}

inline std::vector<int32_t> TokensOf(const std::vector<Event>& events) {
  std::vector<int32_t> tokens;
  for (const Event& event : events) {
    if (event.token >= 0) tokens.push_back(event.token);
  }
  return tokens;
}

inline std::string TextOf(const std::vector<Event>& events) {
  std::string text;
  for (const Event& event : events) text += event.text;
  return text;
}

// Everything that may not depend on what ran beside the request, bit for bit. `expected` may go on longer
// where `actual` was cancelled.
inline void ExpectSameAnswer(const std::vector<Event>& expected, const std::vector<Event>& actual) {
  ASSERT_LE(actual.size(), expected.size() + 1);
  for (size_t i = 0; i < actual.size(); ++i) {
    const Event& a = actual[i];
    if (a.finish == FinishReason::kCancelled) return;
    ASSERT_LT(i, expected.size());
    const Event& e = expected[i];
    ASSERT_EQ(a.token, e.token) << "token " << i;
    EXPECT_EQ(a.text, e.text);
    EXPECT_EQ(a.is_reasoning, e.is_reasoning);
    EXPECT_EQ(a.finish, e.finish);
    EXPECT_EQ(a.prompt_tokens, e.prompt_tokens);
    EXPECT_EQ(a.step, e.step);
    const float of_actual[] = {a.entropy,   a.step_entropy, a.mean_entropy,
                               a.threshold, a.temperature,  a.logprob};
    const float of_expected[] = {e.entropy,   e.step_entropy, e.mean_entropy,
                                 e.threshold, e.temperature,  e.logprob};
    for (int field = 0; field < 6; ++field) ASSERT_EQ(of_actual[field], of_expected[field]) << "token " << i;
    ASSERT_EQ(a.top_logprobs.size(), e.top_logprobs.size());
    for (size_t t = 0; t < a.top_logprobs.size(); ++t) {
      EXPECT_EQ(a.top_logprobs[t].token, e.top_logprobs[t].token);
      EXPECT_EQ(a.top_logprobs[t].logprob, e.top_logprobs[t].logprob);
      EXPECT_EQ(a.top_logprobs[t].text, e.top_logprobs[t].text);
    }
  }
  EXPECT_EQ(actual.size(), expected.size());
}

}  // namespace fourstep
