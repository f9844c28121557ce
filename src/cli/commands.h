// The subcommands of `fourstep`, one file each. Every Add function declares its options on a subcommand of
// `app` and sets what runs when that subcommand was chosen. Messages for people go to standard error, results
// to standard output.
#pragma once

#include <CLI/CLI.hpp>

namespace fourstep::cli {

void AddAnalyzeCommand(CLI::App& app);
void AddBenchCommand(CLI::App& app);
void AddCalibrateCommand(CLI::App& app);
void AddEvalCommand(CLI::App& app);
void AddInspectCommand(CLI::App& app);
void AddPolicyCommand(CLI::App& app);
void AddQuantizeCommand(CLI::App& app);
void AddRunCommand(CLI::App& app);
void AddStudyCommand(CLI::App& app);
void AddTasksCommand(CLI::App& app);
void AddTokenizeCommand(CLI::App& app);

}  // namespace fourstep::cli
