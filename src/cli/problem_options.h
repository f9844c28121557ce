// The flags that say which problems are answered. One definition for every command that studies answers.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/study_problems.h"

namespace fourstep::cli {

struct ProblemOptions {
  std::vector<std::string> tasks, knobs;
  std::string split = "evaluation";
  std::optional<int64_t> num_problems;  // of each task

  // Throws Error naming the flag or file.
  std::vector<StudyProblem> Load(uint64_t seed) const;
};

// `options` must live as long as `command`.
void AddProblemOptions(CLI::App& command, ProblemOptions& options);

}  // namespace fourstep::cli
