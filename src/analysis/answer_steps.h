// Answers cut into reasoning steps: how uncertain the steps are, how well that can be told while they are
// written, and how often a step says what an earlier one said.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tokenizer.h"
#include "eval/statistics.h"
#include "sampling/reset_policy.h"

namespace fourstep {

struct TracedAnswer {
  std::string problem;  // its id
  int64_t sample = 0;
  bool is_right = false;
  std::vector<int32_t> prompt, tokens;
  std::vector<float> entropies, temperatures;  // [tokens]
};

// Of every token of an answer, the number of its step, from 0: a step ends with a blank line, as the policy
// sees it.
std::vector<int32_t> StepsOf(const Tokenizer& tokenizer, std::span<const int32_t> tokens);

// The mean entropy of every step, in nats.
std::vector<double> StepEntropies(std::span<const int32_t> steps, std::span<const float> entropies);

struct EstimatorError {
  StepEstimator estimator;
  Estimate error;  // mean |estimate - mean entropy of the whole step| over tokens, nats; clustered by answer
};

// What each estimator of the policy says of a step before each of its tokens is drawn, against the truth that
// is known when the step has ended. The first token of an answer, of which nothing is known before it, is
// left out.
std::vector<EstimatorError> EstimatorErrors(const Tokenizer& tokenizer, std::span<const TracedAnswer> answers,
                                            int32_t window);

// The share of steps whose text stands as a step earlier in the same answer.
double RepeatedSteps(const Tokenizer& tokenizer, std::span<const TracedAnswer> answers);

}  // namespace fourstep
