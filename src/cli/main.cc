#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/help_formatter.h"

namespace {

// Where a subcommand is misspelt, CLI11 only says that one is missing.
std::string FaultOf(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  const bool is_missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  return is_missing && !unknown.empty() ? unknown[0] + " is no command or option here" : error.what();
}

int Run(int argc, char** argv) {
  CLI::App app{
      "fourstep runs 4-bit (NVFP4) reasoning models at low latency without giving up their accuracy"};
  app.formatter(std::make_shared<fourstep::cli::HelpFormatter>());  // of the subcommands too
  app.require_subcommand(1);
  app.set_version_flag("--version", "fourstep 0.1.0");
  fourstep::cli::AddAnalyzeCommand(app);
  fourstep::cli::AddBenchCommand(app);
  fourstep::cli::AddCalibrateCommand(app);
  fourstep::cli::AddEvalCommand(app);
  fourstep::cli::AddInspectCommand(app);
  fourstep::cli::AddPolicyCommand(app);
  fourstep::cli::AddQuantizeCommand(app);
  fourstep::cli::AddRunCommand(app);
  fourstep::cli::AddStudyCommand(app);
  fourstep::cli::AddTasksCommand(app);
  fourstep::cli::AddTokenizeCommand(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "fourstep: {} (--help lists what is possible)\n",
               fourstep::Printable(FaultOf(app, error), 300));
    return fourstep::cli::kExitFault;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const fourstep::Error& error) {
    fmt::print(stderr, "fourstep: {}\n", error.what());
    return fourstep::cli::kExitFault;
  } catch (const fourstep::cli::Interrupted&) {
    return fourstep::cli::kExitInterrupted;
  } catch (const std::exception& error) {
    fmt::print(stderr, "fourstep: failed: {}\n", error.what());
    return fourstep::cli::kExitFailure;
  }
}
