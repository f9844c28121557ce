#include "base/utf8.h"

#include <algorithm>

#include "base/check.h"

namespace fourstep {
namespace {

struct LeadByte {
  size_t length_bytes;                    // 0: cannot begin a character
  unsigned char second_low, second_high;  // allowed range of the second byte
};

LeadByte Classify(unsigned char lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Bytes of `text` that could still be the beginning of the character its first byte announces.
size_t ValidPrefix(std::string_view text, const LeadByte& lead) {
  size_t n = 1;
  while (n < lead.length_bytes && n < text.size()) {
    const auto byte = static_cast<unsigned char>(text[n]);
    const unsigned char low = n == 1 ? lead.second_low : 0x80;
    const unsigned char high = n == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) break;
    ++n;
  }
  return n;
}

}  // namespace

size_t Utf8Length(std::string_view text) {
  if (text.empty()) return 0;
  const LeadByte lead = Classify(static_cast<unsigned char>(text[0]));
  if (lead.length_bytes == 0) return 0;
  return ValidPrefix(text, lead) == lead.length_bytes ? lead.length_bytes : 0;
}

CodePoint DecodeUtf8(std::string_view text) {
  const size_t length_bytes = Utf8Length(text);
  if (length_bytes == 0) return {0xFFFD, 1};
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  if (length_bytes == 1) return {byte(0), 1};
  uint32_t value = byte(0) & (0x7Fu >> length_bytes);
  for (size_t i = 1; i < length_bytes; ++i) value = value << 6 | (byte(i) & 0x3F);
  return {value, length_bytes};
}

void AppendUtf8(std::string& out, uint32_t code_point) {
  FOURSTEP_CHECK(code_point < 0x110000, "code point {:#x}", code_point);
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (code_point >> shift & 0x3F)); };
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xC0 | code_point >> 6);
    out += tail(0);
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xE0 | code_point >> 12);
    out += tail(6);
    out += tail(0);
  } else {
    out += static_cast<char>(0xF0 | code_point >> 18);
    out += tail(12);
    out += tail(6);
    out += tail(0);
  }
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t pos = 0;
  while (pos < text.size()) {
    const std::string_view rest = text.substr(pos);
    const LeadByte lead = Classify(static_cast<unsigned char>(rest[0]));
    const size_t n = lead.length_bytes == 0 ? 1 : ValidPrefix(rest, lead);
    if (n == lead.length_bytes) {
      out += rest.substr(0, n);
    } else {
      out += "\xEF\xBF\xBD";
    }
    pos += n;
  }
  return out;
}

size_t IncompleteUtf8Suffix(std::string_view text) {
  for (size_t n = 1; n <= std::min<size_t>(3, text.size()); ++n) {
    const std::string_view tail = text.substr(text.size() - n);
    const LeadByte lead = Classify(static_cast<unsigned char>(tail[0]));
    if (lead.length_bytes > n && ValidPrefix(tail, lead) == n) return n;
  }
  return 0;
}

}  // namespace fourstep
