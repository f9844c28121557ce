// A 64-bit hash of text that is the same on every machine and in every version: FNV-1a with a final mix,
// because FNV's low bits alone are weak. Not against adversaries.
#pragma once

#include <cstdint>
#include <string_view>

namespace fourstep {

// `hash`: of what came before, to hash several texts in a row.
inline uint64_t HashText(std::string_view text, uint64_t hash = 0xcbf29ce484222325u) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
  hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
  return hash ^ hash >> 33;
}

}  // namespace fourstep
