// T_low, T_high and the percentile of tau_0, chosen on calibration problems by races, in which fixed
// temperatures run as equals: where one of them is better than any two temperatures, both are set to it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/answer_source.h"
#include "eval/study_problems.h"
#include "eval/study_store.h"

namespace fourstep {

struct PolicyCandidate {
  double t_low = 0, t_high = 0;  // equal: a fixed temperature
  double percentile = 80;        // of the token entropies, tau_0 is
  double tau_0 = 0;              // nats
  bool is_fixed() const { return t_low == t_high; }
};

struct PolicyChoiceOptions {
  std::vector<ProblemSource>
      sources;  // of generated tasks; problems of their calibration split, whatever they say
  uint64_t seed = 0;
  int32_t max_tokens = 0;      // of an answer; 0: as far as the context reaches
  int64_t max_answers = 4000;  // in all: 5/8 for the temperatures, 1/8 for the percentile, 2/8 for the check
  std::vector<double> fixed = {0.1, 0.3, 0.6, 0.8, 1.0};
  std::vector<double> t_low = {0.1, 0.3, 0.6}, t_high = {0.6, 0.8, 1.0};  // all pairs with t_low < t_high
  double percentile = 80;                                                 // of the first race
  std::vector<double> percentiles = {70, 90};  // that race against it, where two temperatures won
};

struct PolicyChoice {
  PolicyCandidate chosen;
  std::string summary;  // one line for people
  Json record;          // sizes, contestants, intervals: what reset.json keeps
};

// `entropies`: those that tau_0 is a percentile of. `progress` is called with the answers so far and a note.
// Throws Error for an unknown or published task, temperatures out of range, no candidate, or a budget that is
// too small to race them.
PolicyChoice ChoosePolicy(StudyStore& store, AnswerSource& source, std::span<const float> entropies,
                          const PolicyChoiceOptions& options,
                          const std::function<void(int64_t answers, const std::string& note)>& progress);

}  // namespace fourstep
