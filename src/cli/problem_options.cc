#include "cli/problem_options.h"

#include <utility>

namespace fourstep::cli {

void AddProblemOptions(CLI::App& command, ProblemOptions& options) {
  command
      .add_option("--task", options.tasks,
                  "One of `fourstep tasks list`, published ones with their file; repeated: several")
      ->required()
      ->allow_extra_args(false)
      ->option_text("TASK[=FILE]");
  command.add_option("--problems", options.num_problems, "Of each task; default: 200, of a file all")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32))
      ->option_text("N");
  command.add_option("--split", options.split, "evaluation (where none is named), calibration or training")
      ->option_text("SPLIT");
  command
      .add_option("--knob", options.knobs,
                  "name=value or name=low..high, with several tasks TASK.name=...; see `fourstep tasks "
                  "list`; repeated: "
                  "several")
      ->allow_extra_args(false)
      ->option_text("KNOB");
}

std::vector<StudyProblem> ProblemOptions::Load(uint64_t seed) const {
  std::vector<StudyProblem> problems;
  for (ProblemSource& source : ParseProblemSources(tasks, knobs)) {
    source.split = ParseSplit(split);
    source.seed = seed;
    for (StudyProblem& problem : LoadProblems(source, num_problems)) problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace fourstep::cli
