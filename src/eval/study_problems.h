// The problems of a study, of one or more tasks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/problem_stream.h"
#include "eval/study_store.h"

namespace fourstep {

// A task's problems: made from a seed, or read from a file.
struct ProblemSource {
  std::string task;
  std::string file = {};  // of a published task
  Split split = Split::kEvaluation;
  uint64_t seed = 0;
  std::vector<std::string> knobs = {};  // of a generated task: "name=value" or "name=low..high"
};

// Of tasks written "NAME" or "NAME=FILE", and knobs written "TASK.name=value" (of one task "name=value" too).
// Throws Error for an unknown task, one that stands twice, a knob of none of them.
std::vector<ProblemSource> ParseProblemSources(const std::vector<std::string>& tasks,
                                               const std::vector<std::string>& knobs);

// The first `count` problems; without a count 200 of a generated task, all of a published one. More of them
// begin with the same. Throws Error where there are fewer, or the source asks of its task what that has not:
// published problems are for evaluation only. Also where this machine cannot grade replies to them.
std::vector<StudyProblem> LoadProblems(const ProblemSource& source, std::optional<int64_t> count);

}  // namespace fourstep
