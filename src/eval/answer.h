// Answers as a model writes them: found in a reply, read as numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fourstep {

// The part after the last </think>, or the whole where there is none.
std::string_view AfterThinking(std::string_view reply);

// The inside of the complete \boxed{...} (braces nest) that begins last in AfterThinking(reply). Nothing
// where there is none. Linear time.
std::optional<std::string> LastBoxed(std::string_view reply);

// A decimal integer with an optional sign (+, - or the Unicode minus), blanks around it ignored. Nothing for
// anything else, or beyond int64.
std::optional<int64_t> ParseInteger(std::string_view text);

std::string_view TrimBlanks(std::string_view text);

}  // namespace fourstep
