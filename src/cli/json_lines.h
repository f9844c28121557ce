// Standard input and output of commands that speak JSON lines, and of those that write text.
#pragma once

#include <cstddef>
#include <fstream>
#include <istream>
#include <string>
#include <string_view>

#include "base/json.h"

namespace fourstep::cli {

// A file to read from. Throws Error (naming it) where it cannot be opened or is a folder.
std::ifstream OpenInput(const std::string& path);

// As std::getline, but throws Error (naming `where`) for a line of more than `max_bytes` bytes: a line
// without an end does not fill the memory.
bool ReadLine(std::istream& input, std::string& line, const std::string& where,
              size_t max_bytes = JsonLimits{}.max_bytes);

// The whole of `input`. Throws Error (naming `where`) for more than `max_bytes`.
std::string ReadAll(std::istream& input, const std::string& where, size_t max_bytes);

// To standard output. Throws std::runtime_error where it cannot be written. A full disk shows at Flush only.
void WriteOutput(std::string_view text);
void WriteLine(const Json& line);
void FlushOutput();

// Flushes where no further input waits: a program that keeps the pipe open waits for what it asked.
void FlushWhenInputPauses(std::istream& input);

}  // namespace fourstep::cli
