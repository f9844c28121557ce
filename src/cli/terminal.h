// What stands at the other end of an output: a terminal or not, with colours or not.
#pragma once

#include <string>
#include <string_view>

namespace fourstep::cli {

struct Terminal {
  bool is_terminal = false;
  bool has_colours =
      false;  // a terminal, NO_COLOR is empty (https://no-color.org) and TERM says more than "dumb"
};

Terminal TerminalOf(int file_descriptor);

// `text` (UTF-8) without what could command a terminal: control characters but \n and \t, and invalid bytes,
// come out as \x1b or \u009b. Text of a model is untrusted.
std::string WithoutControls(std::string_view text);

// "\x1b[2m" around `text`, or `text` alone.
std::string Dim(std::string_view text, bool has_colours);

}  // namespace fourstep::cli
