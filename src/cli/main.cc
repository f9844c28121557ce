#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "base/error.h"
#include "cli/commands.h"

namespace {

// Exit statuses: 0 done, 1 a failure at run time, 2 the user's or a file's fault.
int Run(int argc, char** argv) {
  CLI::App app{
      "fourstep runs 4-bit (NVFP4) reasoning models at low latency without giving up their accuracy"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "fourstep 0.1.0");
  fourstep::cli::AddPolicyCommand(app);
  fourstep::cli::AddQuantizeCommand(app);
  fourstep::cli::AddTasksCommand(app);
  fourstep::cli::AddTokenizeCommand(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "fourstep: {} (--help lists what is possible)\n",
               fourstep::Printable(error.what(), 300));
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const fourstep::Error& error) {
    fmt::print(stderr, "fourstep: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "fourstep: failed: {}\n", error.what());
    return 1;
  }
}
