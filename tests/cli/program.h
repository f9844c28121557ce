// The program `fourstep` as tests run it: with files as its input and output, or at a pseudo-terminal.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/json.h"

namespace fourstep {

struct Result {
  int status;  // exit status, or minus the signal that ended it
  std::string out, err;
};

std::string ProgramPath();

// The exit status, or minus the signal, of a child that ends.
int StatusOf(pid_t child);

// Starts the program with these file descriptors as its standard ones.
pid_t Start(const std::vector<std::string>& arguments, int in, int out, int err);

// Runs the program with `input` as its standard input. `out_path`: where its output goes instead of
// Result::out.
Result RunProgram(const std::vector<std::string>& arguments, const std::string& input = "",
                  const std::string& out_path = "");

// The JSON lines of an output; a failure where the last does not end.
std::vector<Json> Lines(const std::string& text);

// One line for people that begins with the program's name, without control characters; status 2.
void ExpectRefusal(const Result& result, const std::string& what);

// For messages of tests: " 'run' '-p' 'x'".
std::string Shown(const std::vector<std::string>& arguments);

// The program with a pseudo-terminal as all its standard files, 100 columns wide.
class AtTerminal {
 public:
  // `environment`: NAME=VALUE, on top of TERM=xterm and without NO_COLOR.
  explicit AtTerminal(const std::vector<std::string>& arguments,
                      const std::vector<std::string>& environment = {});
  ~AtTerminal();
  AtTerminal(const AtTerminal&) = delete;
  AtTerminal& operator=(const AtTerminal&) = delete;

  // Types text: "hello\n", or "\x03" for Ctrl-C and "\x04" for Ctrl-D.
  void Type(const std::string& text);
  // Reads until `text` was shown after what earlier calls waited for; a failure after 20 s or at the end.
  bool WaitFor(const std::string& text);
  // Reads to the end and returns the exit status, or minus the signal; kills it after 20 s.
  int Wait();
  // Everything that was shown, with \r\n as \n.
  std::string shown() const;

 private:
  bool ReadMore(int timeout_ms);

  pid_t child_ = -1;
  int terminal_ = -1;
  std::string shown_;
  size_t waited_for_ = 0;  // bytes of shown_
};

}  // namespace fourstep
