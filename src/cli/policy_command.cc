#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/json_lines.h"
#include "sampling/policy_trace.h"

namespace fourstep::cli {
namespace {

// Every answer is flushed where no input waits: a program that keeps the pipe open waits for it.
void Replay(bool with_details) {
  std::ios::sync_with_stdio(false);
  std::string line;
  for (int64_t number = 1;; ++number) {
    const std::string where = fmt::format("line {}", number);
    if (!ReadLine(std::cin, line, where, kMaxTraceBytes)) break;
    WriteLine(ReplayPolicyTrace(ParsePolicyTrace(line, where), with_details));
    FlushWhenInputPauses(std::cin);
  }
  FlushOutput();
}

}  // namespace

void AddPolicyCommand(CLI::App& app) {
  CLI::App* policy = app.add_subcommand("policy", "The decoding policy, without a model");
  policy->require_subcommand(1);
  CLI::App* replay = policy->add_subcommand(
      "replay",
      "Read traces as JSON lines (id, t_high, t_low, tau_0, window, entropies in nats, tokens as letters: d "
      "contains a blank line, n is a newline, w anything else), write the temperatures that ReSET chooses");
  auto with_details = std::make_shared<bool>(false);
  replay->add_flag("--details", *with_details, "Add each token's step, estimates of entropy and threshold");
  replay->callback([with_details] { Replay(*with_details); });
}

}  // namespace fourstep::cli
