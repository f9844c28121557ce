// What a study says: accuracies, differences and how sure they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/statistics.h"
#include "eval/study_store.h"

namespace fourstep {

struct VoteEstimate {
  int64_t k = 1;
  Estimate pass, majority;  // a right one among k; the vote of k
};

struct ArmResult {
  StudyArm arm;
  Estimate accuracy;  // clustered by problem
  Estimate accuracy_bootstrap;
  std::vector<Estimate> by_task;    // [tasks]
  std::vector<VoteEstimate> votes;  // k of 1, 2, 4, ... and the samples; none for one sample
  double no_answer = 0, cut = 0;    // shares of the answers: nothing to grade; ended by the limit of tokens
  double mean_tokens = 0;
};

struct ComparisonResult {
  size_t arm = 0, baseline = 0;  // indices of arms
  Estimate difference, difference_bootstrap;
  int64_t only_arm = 0, only_baseline = 0;  // problems that one of the two got more answers right of
  double p_value = 1,
         p_value_holm = 1;  // exact McNemar for one sample, else Student's paired; of all comparisons
};

struct StudyReport {
  std::string path;
  int64_t num_problems = 0;  // that every arm has answered
  int64_t num_samples = 1;
  std::vector<std::string> tasks;
  std::vector<int64_t> problems_of_task;  // [tasks]
  std::vector<ArmResult> arms;
  // The declared ones: every arm against the first; and against the best arm of a fixed temperature in its
  // family, chosen on these very problems, which favours that one.
  std::vector<ComparisonResult> comparisons;
};

// Over the problems that all arms (but those without any answer) have answered. Throws Error where there is
// none.
StudyReport MakeStudyReport(StudyStore& store);

Json StudyReportJson(const StudyReport& report);
std::string StudyReportText(const StudyReport& report);  // some lines

// What to expect of `problems` problems before the first is answered, and, where `half_width` (of an
// accuracy, 0..1) is given (above 0), how many that needs. One or two lines for people.
std::string ForecastText(int64_t problems, double half_width);

}  // namespace fourstep
