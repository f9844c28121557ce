#include "analysis/token_kind.h"

#include <algorithm>
#include <string>
#include <unordered_set>

namespace fourstep {
namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool HasOperator(std::string_view text) {
  constexpr std::string_view kAscii = "+-*/=<>()[]{}^%";
  if (text.find_first_of(kAscii) != text.npos) return true;
  for (const char* symbol : {"×", "·", "÷", "−", "≤", "≥", "≠"}) {
    if (text.find(symbol) != text.npos) return true;
  }
  return false;
}

// For every byte of `text` whether it is a digit of a number that stands earlier.
std::vector<bool> CopiedDigits(std::string_view text) {
  std::vector<bool> is_copied(text.size(), false);
  std::unordered_set<std::string_view> seen;
  for (size_t begin = 0; begin < text.size();) {
    if (!IsDigit(text[begin])) {
      ++begin;
      continue;
    }
    size_t end = begin;
    while (end < text.size() && IsDigit(text[end])) ++end;
    const bool is_known = !seen.insert(text.substr(begin, end - begin)).second;
    std::fill(is_copied.begin() + static_cast<ptrdiff_t>(begin),
              is_copied.begin() + static_cast<ptrdiff_t>(end), is_known);
    begin = end;
  }
  return is_copied;
}

TokenKind KindOf(std::string_view token, size_t offset, const std::vector<bool>& is_copied) {
  const auto digit = std::find_if(token.begin(), token.end(), IsDigit);
  if (digit != token.end()) {
    return is_copied[offset + static_cast<size_t>(digit - token.begin())] ? TokenKind::kCopiedNumber
                                                                          : TokenKind::kNewNumber;
  }
  if (HasOperator(token)) return TokenKind::kOperator;
  if (std::any_of(token.begin(), token.end(), IsLetter)) return TokenKind::kWord;
  // Letters of other scripts; the operators above are not among them.
  if (std::any_of(token.begin(), token.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    return TokenKind::kWord;
  }
  return token.find('\n') != token.npos ? TokenKind::kBreak : TokenKind::kOther;
}

}  // namespace

std::string_view TokenKindName(TokenKind kind) {
  constexpr std::string_view kNames[kNumTokenKinds] = {"copied number", "new number", "operator",
                                                       "word",          "line break", "other"};
  return kNames[static_cast<size_t>(kind)];
}

std::vector<TokenKind> TokenKinds(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                                  std::span<const int32_t> answer) {
  std::string text;
  const auto append = [&](int32_t id) {
    if (!tokenizer.IsSpecial(id)) text += tokenizer.TokenBytes(id);
  };
  for (const int32_t id : prompt) append(id);
  text += "\n";  // the tokens between prompt and answer are special: without them numbers would run together
  std::vector<size_t> offsets;
  for (const int32_t id : answer) {
    offsets.push_back(text.size());
    append(id);
  }
  offsets.push_back(text.size());
  const std::vector<bool> is_copied = CopiedDigits(text);
  std::vector<TokenKind> kinds;
  for (size_t i = 0; i < answer.size(); ++i) {
    const std::string_view token = std::string_view(text).substr(offsets[i], offsets[i + 1] - offsets[i]);
    kinds.push_back(KindOf(token, offsets[i], is_copied));
  }
  return kinds;
}

}  // namespace fourstep
