// `fourstep tasks compare`: how graded answers of several arms differ.
#pragma once

#include <CLI/CLI.hpp>

namespace fourstep::cli {

void AddTasksCompare(CLI::App& tasks);

}  // namespace fourstep::cli
