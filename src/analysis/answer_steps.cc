#include "analysis/answer_steps.h"

#include <cmath>
#include <set>

#include "analysis/divergence_table.h"
#include "base/check.h"
#include "eval/answer.h"
#include "sampling/policy.h"

namespace fourstep {
namespace {

TokenClass ClassOf(const Tokenizer& tokenizer, int32_t id) {
  return ClassifyTokenText(tokenizer.TokenBytes(id));
}

}  // namespace

std::vector<int32_t> StepsOf(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  PolicyState state{};
  const PolicyParams params;
  std::vector<int32_t> steps;
  for (const int32_t id : tokens) {
    steps.push_back(state.step);
    ObserveToken(state, params, 0, ClassOf(tokenizer, id));
  }
  return steps;
}

std::vector<double> StepEntropies(std::span<const int32_t> steps, std::span<const float> entropies) {
  FOURSTEP_CHECK(steps.size() == entropies.size());
  std::vector<double> means;
  std::vector<int64_t> counts;
  for (size_t i = 0; i < steps.size(); ++i) {
    const auto step = static_cast<size_t>(steps[i]);
    if (step >= means.size()) {
      means.resize(step + 1, 0.0);
      counts.resize(step + 1, 0);
    }
    means[step] += entropies[i];
    ++counts[step];
  }
  for (size_t step = 0; step < means.size(); ++step) means[step] /= static_cast<double>(counts[step]);
  return means;
}

std::vector<EstimatorError> EstimatorErrors(const Tokenizer& tokenizer, std::span<const TracedAnswer> answers,
                                            int32_t window) {
  std::vector<EstimatorError> errors;
  for (const StepEstimator estimator : {StepEstimator::kHybrid, StepEstimator::kCausalMean,
                                        StepEstimator::kEmaFromWindow, StepEstimator::kEmaFromFirst}) {
    PolicyParams params;
    params.kind = PolicyKind::kReset;
    params.window = window;
    params.estimator = estimator;
    std::vector<double> sums;
    std::vector<int64_t> counts;
    for (const TracedAnswer& answer : answers) {
      const std::vector<int32_t> steps = StepsOf(tokenizer, answer.tokens);
      const std::vector<double> truth = StepEntropies(steps, answer.entropies);
      PolicyState state{};
      double sum = 0;
      for (size_t i = 0; i < answer.tokens.size(); ++i) {
        const int64_t units = EntropyUnits(answer.entropies[i]);
        const double estimate = EstimateEntropy(state, params, units).step / kEntropyUnitsPerNat;
        if (i > 0) sum += std::abs(estimate - truth[static_cast<size_t>(steps[i])]);
        ObserveToken(state, params, answer.entropies[i], ClassOf(tokenizer, answer.tokens[i]));
      }
      if (answer.tokens.size() < 2) continue;
      sums.push_back(sum);
      counts.push_back(static_cast<int64_t>(answer.tokens.size()) - 1);
    }
    if (!sums.empty()) errors.push_back({estimator, RatioMean(sums, counts)});
  }
  return errors;
}

double RepeatedSteps(const Tokenizer& tokenizer, std::span<const TracedAnswer> answers) {
  int64_t num_steps = 0, num_repeated = 0;
  for (const TracedAnswer& answer : answers) {
    const std::vector<int32_t> steps = StepsOf(tokenizer, answer.tokens);
    std::set<std::string> seen;
    for (size_t begin = 0; begin < steps.size();) {
      size_t end = begin;
      while (end < steps.size() && steps[end] == steps[begin]) ++end;
      const std::string text =
          tokenizer.Decode(std::span(answer.tokens).subspan(begin, end - begin), /*skip_special=*/true);
      begin = end;
      const std::string_view trimmed = TrimBlanks(text);
      if (trimmed.empty()) continue;
      ++num_steps;
      num_repeated += seen.emplace(trimmed).second ? 0 : 1;
    }
  }
  return num_steps == 0 ? 0 : static_cast<double>(num_repeated) / static_cast<double>(num_steps);
}

}  // namespace fourstep
