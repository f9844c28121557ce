#include "grammar/character_set.h"

#include <algorithm>
#include <string>

#include "base/utf8.h"

namespace fourstep {
namespace {

constexpr uint32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF, kLastCharacter = 0x10FFFF;

// Cuts a range until all its characters have as many bytes, of which each runs through its range whatever the
// others are.
void AppendSequences(CharacterRange range, std::vector<Utf8Sequence>& out) {
  const auto cut_after = [&](uint32_t last) {
    AppendSequences({range.first, last}, out);
    AppendSequences({last + 1, range.last}, out);
  };
  for (const uint32_t last : {0x7Fu, 0x7FFu, 0xFFFFu}) {
    if (range.first <= last && last < range.last) return cut_after(last);
  }
  for (int bits = 6; bits <= 18 && range.last > 0x7F; bits += 6) {
    const uint32_t low = (1u << bits) - 1;  // what the last bytes hold
    if ((range.first & ~low) == (range.last & ~low)) continue;
    if ((range.first & low) != 0) return cut_after(range.first | low);
    if ((range.last & low) != low) return cut_after((range.last & ~low) - 1);
  }
  std::string first, last;
  AppendUtf8(first, range.first);
  AppendUtf8(last, range.last);
  Utf8Sequence sequence{.bytes = {}, .length = static_cast<int>(first.size())};
  for (size_t i = 0; i < first.size(); ++i)
    sequence.bytes[i] = {static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i])};
  out.push_back(sequence);
}

}  // namespace

void CharacterSet::Add(CharacterRange range) {
  range.last = std::min(range.last, kLastCharacter);
  if (range.first < kFirstSurrogate) Insert({range.first, std::min(range.last, kFirstSurrogate - 1)});
  if (range.last > kLastSurrogate) Insert({std::max(range.first, kLastSurrogate + 1), range.last});
}

void CharacterSet::Insert(CharacterRange range) {
  if (range.first > range.last) return;
  // Those that touch it become one with it.
  const auto begin = std::find_if(ranges_.rbegin(), ranges_.rend(), [&](const CharacterRange& other) {
                       return other.last + 1 < range.first;
                     }).base();
  auto end = begin;
  for (; end != ranges_.end() && end->first <= range.last + 1; ++end)
    range = {std::min(range.first, end->first), std::max(range.last, end->last)};
  ranges_.insert(ranges_.erase(begin, end), range);
}

CharacterSet CharacterSet::Complement() const {
  CharacterSet rest;
  uint32_t next = 0;
  for (const CharacterRange& range : ranges_) {
    if (range.first > next) rest.Add({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCharacter) rest.Add({next, kLastCharacter});
  return rest;
}

std::vector<Utf8Sequence> Utf8Sequences(const CharacterSet& set) {
  std::vector<Utf8Sequence> sequences;
  for (const CharacterRange& range : set.ranges()) AppendSequences(range, sequences);
  return sequences;
}

}  // namespace fourstep
