#include "base/error.h"

#include "base/utf8.h"

namespace fourstep {

std::string Printable(std::string_view text, size_t max_bytes) {
  std::string out;
  size_t pos = 0;
  while (pos < text.size()) {
    if (out.size() >= max_bytes) return out + "...";
    const size_t length_bytes = Utf8Length(text.substr(pos));
    const auto byte = static_cast<unsigned char>(text[pos]);
    const bool is_control = byte < 0x20 || byte == 0x7f ||
                            (length_bytes == 2 && DecodeUtf8(text.substr(pos)).value < 0xa0);  // C1
    if (length_bytes == 0 || is_control) {
      out += fmt::format("\\x{:02x}", byte);
      pos += 1;
    } else {
      out += text.substr(pos, length_bytes);
      pos += length_bytes;
    }
  }
  return out;
}

}  // namespace fourstep
