#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "cli/commands.h"
#include "sampling/policy_trace.h"

namespace fourstep::cli {
namespace {

// As std::getline, but a line without an end does not fill the memory.
bool ReadLine(std::istream& input, std::string& line, const std::string& where) {
  line.clear();
  std::streambuf& buffer = *input.rdbuf();
  constexpr int kEnd = std::char_traits<char>::eof();
  int c = buffer.sbumpc();
  if (c == kEnd) return false;
  for (; c != kEnd && c != '\n'; c = buffer.sbumpc()) {
    if (line.size() == kMaxTraceBytes) throw Errorf(where, "longer than {} bytes", kMaxTraceBytes);
    line.push_back(static_cast<char>(c));
  }
  return true;
}

// Every answer is flushed where no input waits: a program that keeps the pipe open waits for it.
void Replay(bool with_details) {
  std::ios::sync_with_stdio(false);
  std::string line;
  for (int64_t number = 1;; ++number) {
    const std::string where = fmt::format("line {}", number);
    if (!ReadLine(std::cin, line, where)) break;
    const std::string text = DumpJson(ReplayPolicyTrace(ParsePolicyTrace(line, where), with_details)) + "\n";
    const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    if (!is_written || (std::cin.rdbuf()->in_avail() <= 0 && std::fflush(stdout) != 0)) {
      throw std::runtime_error("standard output cannot be written");
    }
  }
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
