// Error: the fault lies with the user, a file or a request. One line for people: where, what, what was
// expected. Thrown by the library, caught in main (exit status 2), per request, and in bindings. Anything
// else that reaches main is a run-time failure (exit status 1).
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace fourstep {

class Error : public std::runtime_error {
 public:
  // `where` names the file, field or flag; `what` says what is wrong and what was expected.
  Error(std::string where, std::string_view what)
      : std::runtime_error(where.empty() ? std::string(what) : fmt::format("{}: {}", where, what)),
        where_(std::move(where)) {}

  const std::string& where() const { return where_; }

 private:
  std::string where_;
};

// throw Errorf("config.json", "hidden_size is {}, expected 1..65536", n)
template <typename... Args>
[[nodiscard]] Error Errorf(std::string where, fmt::format_string<Args...> format, Args&&... args) {
  return Error(std::move(where), fmt::format(format, std::forward<Args>(args)...));
}

// A text from outside as it may stand in a message or on a terminal: control characters and invalid UTF-8
// escaped, cut at `max_bytes`.
std::string Printable(std::string_view text, size_t max_bytes = 80);

}  // namespace fourstep
