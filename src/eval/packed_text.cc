#include "eval/packed_text.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/error.h"

namespace fourstep {
namespace {

int ValueOfBase64(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// The opcodes of a pickle that a string can hold.
class PickleReader {
 public:
  PickleReader(std::string_view bytes, const std::string& where) : rest_(bytes), where_(where) {}

  std::string Run() {
    std::optional<std::string> text;
    for (;;) {
      const auto opcode = static_cast<unsigned char>(Take(1)[0]);
      switch (opcode) {
        case 0x80:  // PROTO
        case 'q':   // BINPUT
          Take(1);
          break;
        case 'r':  // LONG_BINPUT
          Take(4);
          break;
        case 0x95:  // FRAME
          Take(8);
          break;
        case 0x94:  // MEMOIZE
          break;
        case 0x8c:  // SHORT_BINUNICODE
        case 'X':   // BINUNICODE
        case 0x8d:  // BINUNICODE8
          if (text) throw Fault();
          text = Take(Length(opcode == 0x8c ? 1 : opcode == 'X' ? 4 : 8));
          break;
        case '.':  // STOP
          if (!text || !rest_.empty()) throw Fault();
          return std::move(*text);
        default:
          throw Fault();
      }
    }
  }

 private:
  Error Fault() const { return {where_, "is not a pickle of one string"}; }

  std::string_view Take(uint64_t length) {
    if (length > rest_.size()) throw Fault();
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }

  uint64_t Length(size_t num_bytes) {
    uint64_t length = 0;
    const std::string_view bytes = Take(num_bytes);
    for (size_t i = 0; i < num_bytes; ++i)
      length |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return length;
  }

  std::string_view rest_;
  const std::string& where_;
};

}  // namespace

std::string DecodeBase64(std::string_view text, const std::string& where) {
  while (text.ends_with('=') || text.ends_with('\n')) text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int num_bits = 0;
  for (const char c : text) {
    const int value = ValueOfBase64(c);
    if (value < 0) throw Error(where, "is not base64");
    bits = bits << 6 | static_cast<uint32_t>(value);
    num_bits += 6;
    if (num_bits < 8) continue;
    num_bits -= 8;
    bytes += static_cast<char>(bits >> num_bits & 0xff);
  }
  return bytes;
}

std::string Inflate(std::string_view bytes, size_t max_bytes, const std::string& where) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) throw std::runtime_error("zlib cannot be started");
  struct End {
    z_stream* stream;
    ~End() { inflateEnd(stream); }
  } const end{&stream};
  std::string text;
  std::array<char, 65536> buffer;
  int status = Z_OK;
  while (status == Z_OK) {
    if (stream.avail_in == 0) {
      const size_t n = std::min<size_t>(bytes.size(), size_t{1} << 30);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      stream.avail_in = static_cast<uInt>(n);
      bytes.remove_prefix(n);
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = buffer.size();
    status = inflate(&stream, Z_NO_FLUSH);
    text.append(buffer.data(), buffer.size() - stream.avail_out);
    if (text.size() > max_bytes) throw Errorf(where, "unpacks to more than {} bytes", max_bytes);
  }
  if (status != Z_STREAM_END) throw Error(where, "is not whole zlib data");
  return text;
}

std::string UnpickleString(std::string_view bytes, const std::string& where) {
  return PickleReader(bytes, where).Run();
}

}  // namespace fourstep
