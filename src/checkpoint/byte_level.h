// Byte-level BPE writes every byte as one printable character, so that a vocabulary file is text: bytes
// 33-126, 161-172 and 174-255 stand for themselves (as code points), the other 68 for U+0100..U+0143 in
// order. The table is GPT-2's and that of every byte-level tokenizer.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fourstep {

// The code point that stands for `byte`.
uint32_t ByteLevelCharacter(uint8_t byte);

// The bytes that `text` (UTF-8) stands for; none where one of its characters stands for no byte.
std::optional<std::string> DecodeByteLevel(std::string_view text);

}  // namespace fourstep
