// A conversation at the terminal.
#pragma once

#include <functional>
#include <string>

#include "cli/interrupt.h"
#include "cli/reply.h"
#include "fourstep/engine.h"

namespace fourstep::cli {

// Asks for lines on standard input and answers them, each with all that was said before, until /quit, Ctrl-D,
// or Ctrl-C at the prompt (throws Interrupted). Ctrl-C during an answer stops that answer. `first` is the
// request without what people say: its messages (a system turn or nothing) begin every conversation. `answer`
// runs a request and shows it.
void RunChat(const Request& first, InterruptWatch& interrupts,
             const std::function<Reply(const Request&)>& answer);

}  // namespace fourstep::cli
