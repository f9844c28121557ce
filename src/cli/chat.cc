#include "cli/chat.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/exit_status.h"
#include "cli/terminal.h"

namespace fourstep::cli {
namespace {

// What people type goes with the prompt ahead of it, what is told them goes with the answers.
class Prompt {
 public:
  Prompt() : output_(TerminalOf(STDOUT_FILENO).is_terminal ? stdout : stderr) {}

  void Say(std::string_view text) const {
    fmt::print(output_, "{}", text);
    std::fflush(output_);
  }

  enum class Read { kLine, kEnd, kInterrupted };

  // A terminal hands over one line a read; Ctrl-D after some text hands over what there is.
  Read ReadLine(std::string& line, const InterruptWatch& interrupts) const {
    line.clear();
    char buffer[4096];
    while (true) {
      if (!interrupts.WaitForInput(STDIN_FILENO)) return Read::kInterrupted;
      const ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
      if (n <= 0) return line.empty() ? Read::kEnd : Read::kLine;
      line.append(buffer, static_cast<size_t>(n));
      if (line.ends_with('\n')) {
        line.pop_back();
        return Read::kLine;
      }
    }
  }

 private:
  std::FILE* output_;
};

constexpr std::string_view kHelp =
    "/reset  forget what was said\n"
    "/quit   leave (also Ctrl-D)\n"
    "/help   this list\n"
    "Ctrl-C stops an answer; at the prompt it leaves.\n";

}  // namespace

void RunChat(const Request& first, InterruptWatch& interrupts,
             const std::function<Reply(const Request&)>& answer) {
  const Prompt prompt;
  Request request = first;
  prompt.Say("Say something; /help lists what else there is.\n");
  std::string line;
  while (true) {
    prompt.Say("\n> ");
    const Prompt::Read read = prompt.ReadLine(line, interrupts);
    if (read != Prompt::Read::kLine) prompt.Say("\n");
    if (read == Prompt::Read::kEnd || line == "/quit") return;
    if (read == Prompt::Read::kInterrupted) throw Interrupted();
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    if (line == "/reset") {
      request = first;
      prompt.Say("All forgotten.\n");
    } else if (line.starts_with('/')) {
      prompt.Say(kHelp);
    } else {
      request.messages.push_back({.role = "user", .content = ReplaceInvalidUtf8(line), .reasoning = {}});
      try {
        const Reply reply = answer(request);
        interrupts.Clear();
        request.messages.push_back(
            {.role = "assistant", .content = reply.content(), .reasoning = reply.reasoning()});
      } catch (const Error& error) {  // too long for the context, most of all
        request.messages.pop_back();
        prompt.Say(fmt::format("{} (/reset starts over)\n", error.what()));
      }
    }
  }
}

}  // namespace fourstep::cli
