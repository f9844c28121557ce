// Sets of characters, and the bytes that UTF-8 writes them with.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace fourstep {

// Both ends are in it.
struct CharacterRange {
  uint32_t first = 0, last = 0;
};
struct ByteRange {
  uint8_t first = 0, last = 0;
};

// Of Unicode's characters: U+0000..U+10FFFF without the surrogates.
class CharacterSet {
 public:
  CharacterSet() = default;
  CharacterSet(std::initializer_list<CharacterRange> ranges) {
    for (const CharacterRange& range : ranges) Add(range);
  }

  void Add(CharacterRange range);
  void Add(const CharacterSet& other) {
    for (const CharacterRange& range : other.ranges_) Add(range);
  }
  CharacterSet Complement() const;
  bool empty() const { return ranges_.empty(); }
  std::span<const CharacterRange> ranges() const { return ranges_; }  // ascending, apart, no surrogates

 private:
  void Insert(CharacterRange range);

  std::vector<CharacterRange> ranges_;
};

// Texts of `length` bytes, each byte in its range.
struct Utf8Sequence {
  std::array<ByteRange, 4> bytes;
  int length;
};

// Sequences whose texts are the characters of the set, each once.
std::vector<Utf8Sequence> Utf8Sequences(const CharacterSet& set);

}  // namespace fourstep
