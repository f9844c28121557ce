// FOURSTEP_CHECK is for bugs of this program: it prints the condition, the values and the place, and aborts.
// What a user or a file can cause is an Error (error.h), never a CHECK.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace fourstep {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition,
                                     const std::string& detail) {
  std::fprintf(stderr, "%s:%d: check failed: %s %s\n", file, line, condition, detail.c_str());
  std::abort();
}

}  // namespace fourstep

// FOURSTEP_CHECK(rows == 4) or FOURSTEP_CHECK(rows == 4, "rows {}", rows).
#define FOURSTEP_CHECK(condition, ...)                                              \
  do {                                                                              \
    if (!(condition)) [[unlikely]]                                                  \
      ::fourstep::CheckFailed(__FILE__, __LINE__, #condition,                       \
                              std::string(__VA_OPT__(::fmt::format(__VA_ARGS__)))); \
  } while (false)
