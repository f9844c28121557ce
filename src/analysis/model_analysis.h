// What quantisation did to a model, and what ReSET does about it: the reference and the quantised model
// answer the same problems with the same random numbers, and both read the reference's answers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/answer_steps.h"
#include "analysis/divergence_table.h"
#include "analysis/policy_changes.h"
#include "eval/arm_setting.h"
#include "eval/study_report.h"

namespace fourstep {

struct AnalysisOptions {
  EngineOptions reference, quantised;
  std::vector<StudyProblem> problems;
  double temperature = 0.6, top_p = 0.95;  // of the fixed arms
  std::optional<Sampling> reset = {};      // absent: what is known for the quantised model, else T_low 0.3,
                                           // T_high 1 and the 80th percentile of its entropies
  uint64_t seed = 0;
  int32_t max_tokens = 4096;  // of an answer
};

// Answers of one arm, and what is seen in them alone.
struct ArmAnswers {
  std::string name;
  std::vector<TracedAnswer> answers = {};
  std::vector<double> token_entropies = {};  // ascending, nats
  std::vector<double> step_entropies = {};   // ascending, nats: means of steps
  double repeated_steps = 0;                 // share
};

struct ModelAnalysis {
  StudyReport study;
  ArmAnswers reference, quantised, reset;
  DivergenceRow all;  // on the reference's answers, read by both
  std::vector<DivergenceRow> by_decile, by_kind, by_certainty;
  std::vector<EstimatorError> estimators;  // on the quantised model's answers
  PolicyChanges changes;                   // reset beside quantised
};

// `store` keeps the answers, so that a run that was stopped goes on. `progress` is called with what is being
// done, how much of it and of how much; where `keep_going` says no, nothing is returned. Throws Error where
// the models do not have the same tokens, and what Study throws.
std::optional<ModelAnalysis> AnalyzeModels(
    StudyStore& store, const AnalysisOptions& options,
    const std::function<void(const std::string& what, int64_t done, int64_t total)>& progress,
    const std::function<bool()>& keep_going);

}  // namespace fourstep
