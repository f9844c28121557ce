// Where answers come from: a model in this process, or a server.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "fourstep/engine.h"

namespace fourstep {

struct Question {
  std::string name;        // for messages: "countdown-evaluation-1-17, sample 2"
  std::string text;        // the user's turn
  Sampling sampling = {};  // with the seed of this answer
  int32_t max_tokens = 0;
};

// What the sampler saw of every token of an answer, in order.
struct TokenTrace {
  std::vector<int32_t> tokens;
  std::vector<float> entropies, temperatures;  // nats; as drawn
};

struct SourcedAnswer {
  int64_t ticket = 0;
  std::string response;
  FinishReason finish = FinishReason::kStop;  // kStop or kLength
  int32_t num_tokens = 0;
  TokenTrace trace = {};  // empty where the source has none
};

class AnswerSource {
 public:
  virtual ~AnswerSource() = default;

  // So many questions should be submitted at a time to keep it busy.
  virtual int32_t parallel() const = 0;

  // Answers carry the ticket that this gives. Throws Error, naming the question, where it cannot be answered.
  virtual int64_t Submit(const Question& question) = 0;

  // What has been finished since; returns soon, perhaps with nothing. Throws std::runtime_error where
  // answering fails.
  virtual std::vector<SourcedAnswer> Wait() = 0;
};

class EngineAnswers : public AnswerSource {
 public:
  explicit EngineAnswers(const EngineOptions& options);
  Engine& engine() { return engine_; }
  int32_t parallel() const override { return parallel_; }
  int64_t Submit(const Question& question) override;
  std::vector<SourcedAnswer> Wait() override;

 private:
  Engine engine_;
  int32_t parallel_;
  std::unordered_map<RequestId, SourcedAnswer> unfinished_;
};

}  // namespace fourstep
