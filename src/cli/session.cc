#include "cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "base/error.h"
#include "cli/terminal.h"

namespace fourstep::cli {
namespace {

// "loading ..." on a terminal, gone when done.
class LoadingMessage {
 public:
  LoadingMessage(const std::string& model, bool is_shown) : is_shown_(is_shown) {
    if (is_shown_) fmt::print(stderr, "loading {} ...", model);
  }
  ~LoadingMessage() {
    if (is_shown_) fmt::print(stderr, "\r\x1b[K");
  }
  LoadingMessage(const LoadingMessage&) = delete;
  LoadingMessage& operator=(const LoadingMessage&) = delete;

 private:
  bool is_shown_;
};

}  // namespace

Session::Session(const EngineOptions& options, const Sampling& policy, bool is_talkative)
    : is_talkative_(is_talkative) {
  const std::string model = Printable(options.model);
  {
    const LoadingMessage message(model, is_talkative && TerminalOf(STDERR_FILENO).is_terminal);
    engine_.emplace(options);
  }
  if (!is_talkative) return;
  const EngineInfo& info = engine_->info();
  Tell(fmt::format("{}: {}, {:.1f}M parameters, {} with a {} cache on {}\npolicy {}", model,
                   Printable(info.architecture), static_cast<double>(info.num_parameters) / 1e6,
                   info.numerics, info.kv_cache, info.backend, engine_->PolicyText(policy)));
}

void Session::Tell(const std::string& line) const {
  fmt::print(stderr, "{}\n", Dim(line, TerminalOf(STDERR_FILENO).has_colours));
  std::fflush(stderr);
}

void Session::TellAbout(const Reply& reply) const {
  if (is_talkative_) {
    Tell(StatisticsText(reply));
  } else if (reply.finish() == FinishReason::kLength) {
    Tell(fmt::format("fourstep: the answer was cut off after {} tokens{}", reply.num_tokens(),
                     reply.ends_in_thought() ? ", while thinking" : ""));
  }
}

}  // namespace fourstep::cli
