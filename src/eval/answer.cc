#include "eval/answer.h"

#include <charconv>
#include <limits>

namespace fourstep {
namespace {

// What stands before the brace that closes the one just before `text`.
std::string_view Inside(std::string_view text) {
  int64_t depth = 1;
  size_t end = 0;
  while (end < text.size()) {
    if (text[end] == '{') ++depth;
    if (text[end] == '}' && --depth == 0) break;
    ++end;
  }
  return text.substr(0, end);
}

}  // namespace

std::string_view AfterThinking(std::string_view reply) {
  constexpr std::string_view kEndOfThinking = "</think>";
  const size_t end = reply.rfind(kEndOfThinking);
  return end == reply.npos ? reply : reply.substr(end + kEndOfThinking.size());
}

std::optional<std::string> LastBoxed(std::string_view reply) {
  constexpr std::string_view kBoxed = "\\boxed{";
  reply = AfterThinking(reply);
  // From the back, so that one count tells which opening braces are closed: the first such box is the last
  // one.
  int64_t unmatched_closings = 0;
  for (size_t at = reply.size(); at-- > 0;) {
    if (reply[at] == '}') ++unmatched_closings;
    if (reply[at] != '{' || unmatched_closings == 0) continue;
    --unmatched_closings;
    if (reply.substr(0, at + 1).ends_with(kBoxed)) return std::string(Inside(reply.substr(at + 1)));
  }
  return std::nullopt;
}

std::string_view TrimBlanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  text = TrimBlanks(text);
  constexpr std::string_view kUnicodeMinus = "−";
  const bool negative = text.starts_with('-') || text.starts_with(kUnicodeMinus);
  if (negative) text.remove_prefix(text[0] == '-' ? 1 : kUnicodeMinus.size());
  if (!negative && text.starts_with('+')) text.remove_prefix(1);
  uint64_t magnitude = 0;  // from_chars takes no sign here
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), magnitude);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (magnitude > kMax + (negative ? 1 : 0)) return std::nullopt;
  return static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
}

}  // namespace fourstep
