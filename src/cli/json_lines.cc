#include "cli/json_lines.h"

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "base/error.h"

namespace fourstep::cli {
namespace {

constexpr int kEnd = std::char_traits<char>::eof();

}  // namespace

std::ifstream OpenInput(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    throw Error(Printable(path), "is a folder, expected a file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(Printable(path), "cannot be opened");
  return file;
}

bool ReadLine(std::istream& input, std::string& line, const std::string& where, size_t max_bytes) {
  line.clear();
  std::streambuf& buffer = *input.rdbuf();
  int c = buffer.sbumpc();
  if (c == kEnd) return false;
  for (; c != kEnd && c != '\n'; c = buffer.sbumpc()) {
    if (line.size() == max_bytes) throw Errorf(where, "longer than {} bytes", max_bytes);
    line.push_back(static_cast<char>(c));
  }
  return true;
}

std::string ReadAll(std::istream& input, const std::string& where, size_t max_bytes) {
  std::string text;
  std::streambuf& buffer = *input.rdbuf();
  for (int c = buffer.sbumpc(); c != kEnd; c = buffer.sbumpc()) {
    if (text.size() == max_bytes) throw Errorf(where, "longer than {} bytes", max_bytes);
    text.push_back(static_cast<char>(c));
  }
  return text;
}

void WriteOutput(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    throw std::runtime_error("standard output cannot be written");
  }
}

void WriteLine(const Json& line) {
  WriteOutput(DumpJson(line) + "\n");
}

void FlushOutput() {
  if (std::fflush(stdout) != 0) throw std::runtime_error("standard output cannot be written");
}

void FlushWhenInputPauses(std::istream& input) {
  if (input.rdbuf()->in_avail() <= 0) FlushOutput();
}

}  // namespace fourstep::cli
