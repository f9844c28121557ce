// What kind of symbol a token is: quantisation may hurt digits and words differently.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "checkpoint/tokenizer.h"

namespace fourstep {

enum class TokenKind : uint8_t {
  kCopiedNumber,  // a digit of a number that stands earlier in the text, as a whole
  kNewNumber,     // a digit of another
  kOperator,      // + - * / = brackets and their like
  kWord,          // letters
  kBreak,         // the end of a line or a step
  kOther,         // punctuation, blanks, special tokens
};
inline constexpr int kNumTokenKinds = 6;

std::string_view TokenKindName(TokenKind kind);

// Of each token of an answer; `prompt` is what stands before it. A token with several kinds of symbol has the
// first of the list above.
std::vector<TokenKind> TokenKinds(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                                  std::span<const int32_t> answer);

}  // namespace fourstep
