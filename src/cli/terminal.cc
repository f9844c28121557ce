#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "base/utf8.h"

namespace fourstep::cli {
namespace {

std::string_view Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Terminal TerminalOf(int file_descriptor) {
  Terminal terminal;
  terminal.is_terminal = isatty(file_descriptor) == 1;
  const std::string_view type = Environment("TERM");
  terminal.has_colours =
      terminal.is_terminal && Environment("NO_COLOR").empty() && !type.empty() && type != "dumb";
  return terminal;
}

std::string WithoutControls(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length_bytes = Utf8Length(text);
    if (length_bytes == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    const uint32_t c = DecodeUtf8(text).value;
    if (c < 0x20 && c != '\n' && c != '\t') {
      out += fmt::format("\\x{:02x}", c);
    } else if (c >= 0x7f && c < 0xa0) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += text.substr(0, length_bytes);
    }
    text.remove_prefix(length_bytes);
  }
  return out;
}

std::string Dim(std::string_view text, bool has_colours) {
  return has_colours ? fmt::format("\x1b[2m{}\x1b[0m", text) : std::string(text);
}

}  // namespace fourstep::cli
