// Many prompts from a file of JSON lines, several answered at a time.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/interrupt.h"
#include "cli/reply.h"
#include "fourstep/engine.h"

namespace fourstep::cli {

struct BatchLine {
  Json line;         // as it was read
  std::string text;  // its "prompt", or else its "problem"
};

// Reads all lines. Throws Error (naming `where` and the line) where one is no JSON object, has neither
// "prompt" nor "problem" or both, has a "response" already, or where there is no line.
std::vector<BatchLine> ReadBatch(std::istream& input, const std::string& where);

// Watches the answers, for people: Begin before the first event of a line, End after its last.
class BatchWatcher {
 public:
  virtual ~BatchWatcher() = default;
  virtual void Begin(const BatchLine& line) = 0;
  virtual void Take(const Event& event) = 0;
  virtual void End(const Reply& reply) = 0;
};

// Answers all lines and writes each, in order, to standard output, with "response", "finish" and
// "response_tokens" added. `requests` has one for each line. Throws Error (naming `where` and the line)
// before anything is written where a request cannot be served, Interrupted after Ctrl-C, and
// std::runtime_error at the end where answers failed; their lines have "error" too. `watcher` may be null;
// with one, the engine must answer one request at a time, in order (max_sequences 1).
void RunBatch(Engine& engine, const std::vector<BatchLine>& lines, const std::vector<Request>& requests,
              const std::string& where, const InterruptWatch& interrupts, BatchWatcher* watcher = nullptr);

}  // namespace fourstep::cli
