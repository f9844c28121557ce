#include "eval/answer.h"

#include <charconv>

namespace fourstep {

std::optional<std::string> LastBoxed(std::string_view reply) {
  constexpr std::string_view kEndOfThinking = "</think>", kBoxed = "\\boxed{";
  if (const size_t end = reply.rfind(kEndOfThinking); end != reply.npos) {
    reply.remove_prefix(end + kEndOfThinking.size());
  }
  // Braces are matched from the back, once: for every "\boxed{" seen, is its own brace closed?
  int64_t depth = 0;
  std::optional<std::string> found;
  std::string_view scan = reply;
  for (size_t at = scan.find(kBoxed); at != scan.npos; at = scan.find(kBoxed)) {
    scan.remove_prefix(at + kBoxed.size());
    depth = 1;
    size_t end = 0;
    while (end < scan.size() && depth > 0) {
      if (scan[end] == '{') ++depth;
      if (scan[end] == '}') --depth;
      ++end;
    }
    if (depth > 0) break;  // unclosed: nothing after it can close either
    found = std::string(scan.substr(0, end - 1));
    scan.remove_prefix(end);
  }
  return found;
}

std::string_view TrimBlanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  text = TrimBlanks(text);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace fourstep
