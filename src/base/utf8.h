// UTF-8, strictly as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fourstep {

// Bytes (1..4) of the valid character that `text` begins with, 0 where it begins with none or is empty.
size_t Utf8Length(std::string_view text);

// The code point of the valid character at the start of `text` and its length in bytes; {0xFFFD, 1} where
// invalid.
struct CodePoint {
  uint32_t value;
  size_t length_bytes;
};
CodePoint DecodeUtf8(std::string_view text);

void AppendUtf8(std::string& out, uint32_t code_point);

// `text` with every maximal invalid part replaced by U+FFFD, as Unicode recommends (and Python and Rust do).
std::string ReplaceInvalidUtf8(std::string_view text);

// Bytes at the end of `text` (0..3) that begin a character but do not complete it: what streaming must hold
// back.
size_t IncompleteUtf8Suffix(std::string_view text);

}  // namespace fourstep
