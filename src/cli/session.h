// A loaded model, what is said about it on standard error, and Ctrl-C.
#pragma once

#include <optional>
#include <string>

#include "cli/interrupt.h"
#include "cli/reply.h"
#include "fourstep/engine.h"

namespace fourstep::cli {

class Session {
 public:
  // Loads the model; throws what Engine throws. `is_talkative`: says what runs and how fast. `policy`: what
  // the requests will ask for, to be named there.
  Session(const EngineOptions& options, const Sampling& policy, bool is_talkative);

  Engine& engine() { return *engine_; }
  InterruptWatch& interrupts() { return interrupts_; }

  // A dim line on standard error.
  void Tell(const std::string& line) const;
  // The speed of an answer where the session is talkative, else only that it was cut off, if it was.
  void TellAbout(const Reply& reply) const;

 private:
  bool is_talkative_;
  std::optional<Engine> engine_;
  InterruptWatch interrupts_;  // after the engine: Ctrl-C while a model loads ends the program
};

}  // namespace fourstep::cli
