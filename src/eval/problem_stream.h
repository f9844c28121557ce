// The problems of one task, split and seed, in order: the same for every thread count.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/task.h"

namespace fourstep {

// A problem belongs to one split for ever: by the hash of its canonical text modulo 16, 0 is evaluation, 15
// calibration, the rest training.
enum class Split { kEvaluation, kCalibration, kTraining };
Split SplitOf(const GeneratedTask& task, std::string_view canonical);

// "evaluation", "calibration", "training"; throws Error for anything else.
Split ParseSplit(std::string_view name);
std::string_view SplitName(Split split);

// The ranges of a task's knobs, in the order of task.knobs().
std::vector<IntRange> DefaultKnobs(const GeneratedTask& task, Split split);
// Applies "name=value" or "name=low..high"; throws Error for an unknown name or a range that is not allowed.
void SetKnob(const GeneratedTask& task, std::string_view setting, std::vector<IntRange>& ranges);

struct ProblemRequest {
  Split split = Split::kEvaluation;
  uint64_t seed = 0;
  std::vector<IntRange> knobs = {};
  int num_threads = 1;
  bool record_choices = false;
};

struct GeneratedProblem {
  std::string id;  // "countdown-evaluation-1-17": task, split, seed, index
  Problem problem;
  std::string trace;
  std::vector<Writer::Choice> choices;  // with record_choices
};

// Hands the first `count` problems to `sink`, in order. Problem i depends on the task, split, seed and knobs
// only. No problem stands twice in an evaluation or calibration run. Throws Error where the knobs allow too
// few.
void GenerateProblems(const GeneratedTask& task, const ProblemRequest& request, int64_t count,
                      const std::function<void(const GeneratedProblem&)>& sink);

}  // namespace fourstep
