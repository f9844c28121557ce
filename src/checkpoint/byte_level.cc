#include "checkpoint/byte_level.h"

#include <array>

#include "base/utf8.h"

namespace fourstep {
namespace {

constexpr uint32_t kNumCharacters = 0x144;  // the largest character of the table is U+0143

constexpr bool StandsForItself(uint32_t byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Table {
  std::array<uint32_t, 256> character{};
  std::array<int16_t, kNumCharacters> byte{};  // -1: stands for none
};

constexpr Table MakeTable() {
  Table table;
  for (auto& byte : table.byte) byte = -1;
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    table.character[byte] = StandsForItself(byte) ? byte : next++;
    table.byte[table.character[byte]] = static_cast<int16_t>(byte);
  }
  return table;
}

constexpr Table kTable = MakeTable();

}  // namespace

uint32_t ByteLevelCharacter(uint8_t byte) {
  return kTable.character[byte];
}

std::optional<std::string> DecodeByteLevel(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const CodePoint c = DecodeUtf8(text);
    if (c.value >= kNumCharacters || kTable.byte[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(kTable.byte[c.value]);
    text.remove_prefix(c.length_bytes);
  }
  return bytes;
}

}  // namespace fourstep
