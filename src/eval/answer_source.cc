#include "eval/answer_source.h"

#include <stdexcept>
#include <utility>

#include "base/error.h"

namespace fourstep {

// Twice the sequences that run: when one ends, the next has been waiting.
EngineAnswers::EngineAnswers(const EngineOptions& options)
    : engine_(options), parallel_(2 * options.max_sequences) {}

int64_t EngineAnswers::Submit(const Question& question) {
  Request request;
  request.messages = {{.role = "user", .content = question.text, .reasoning = {}}};
  request.sampling = question.sampling;
  request.max_tokens = question.max_tokens;
  try {
    const RequestId id = engine_.Submit(request);
    unfinished_[id].ticket = id;
    return id;
  } catch (const Error& error) {
    throw Error(question.name, error.what());
  }
}

std::vector<SourcedAnswer> EngineAnswers::Wait() {
  std::vector<SourcedAnswer> finished;
  for (const Event& event : engine_.Step()) {
    SourcedAnswer& answer = unfinished_.at(event.request);
    answer.response += event.text;
    if (event.token >= 0) {
      ++answer.num_tokens;
      answer.trace.tokens.push_back(event.token);
      answer.trace.entropies.push_back(event.entropy);
      answer.trace.temperatures.push_back(event.temperature);
    }
    if (event.finish == FinishReason::kNone) continue;
    if (event.finish == FinishReason::kError) throw std::runtime_error(event.error);
    answer.finish = event.finish;
    finished.push_back(std::move(answer));
    unfinished_.erase(event.request);
  }
  return finished;
}

}  // namespace fourstep
