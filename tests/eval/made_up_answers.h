// Answers that a test makes up, so that what is kept, missing and counted is known.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "eval/answer_source.h"
#include "eval/study_store.h"

namespace fourstep {

// Answers a problem rightly with the chance that a function gives for its sampling, by default the
// temperature: the seed decides, so that arms with the same seed and a higher chance are right where those
// with a lower one are.
class MadeUpAnswers : public AnswerSource {
 public:
  using Chance = std::function<double(const Sampling&)>;

  // Fails after `patience` answers.
  explicit MadeUpAnswers(
      const std::vector<StudyProblem>& problems = {}, int64_t patience = int64_t{1} << 40,
      Chance chance = [](const Sampling& sampling) { return sampling.temperature.value(); })
      : patience_(patience), chance_(std::move(chance)) {
    Know(problems);
  }

  void Know(const std::vector<StudyProblem>& problems) {
    for (const StudyProblem& problem : problems) answers_[problem.text] = problem.answer;
  }

  int32_t parallel() const override { return 3; }
  int64_t Submit(const Question& question) override {
    waiting_.emplace_back(++last_, question);
    return last_;
  }
  std::vector<SourcedAnswer> Wait() override {
    if (patience_-- == 0) throw std::runtime_error("the lights went out");
    // The latest first: answers do not come in the order of the questions.
    const auto [ticket, question] = waiting_.back();
    waiting_.pop_back();
    seeds.insert(question.sampling.seed);
    const bool is_right =
        static_cast<double>(question.sampling.seed % 1000) < 1000 * chance_(question.sampling);
    SourcedAnswer answer{.ticket = ticket, .response = "", .num_tokens = 2};
    answer.response = "\\boxed{" + (is_right ? answers_.at(question.text) : "no") + "}";
    answer.trace = {.tokens = {1, 2}, .entropies = {0.5f, 0.25f}, .temperatures = {0.1f, 1.0f}};
    ++num_answered;
    return {answer};
  }

  std::set<uint64_t> seeds;
  int64_t num_answered = 0;

 private:
  std::map<std::string, std::string> answers_;  // by the problem's text
  int64_t patience_, last_ = 0;
  Chance chance_;
  std::deque<std::pair<int64_t, Question>> waiting_;
};

}  // namespace fourstep
