// A deterministic automaton over bytes: which texts match, and which may still become one that does.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/regex.h"

namespace fourstep {

struct ByteAutomaton {
  static constexpr int32_t kDead = -1;

  int32_t num_states = 0;  // state 0 is the first
  int32_t num_classes = 0;
  std::array<uint8_t, 256> byte_class = {};  // bytes of one class lead alike
  std::vector<int32_t> next = {};            // [num_states, num_classes], or kDead
  std::vector<bool> accepts = {};            // [num_states]

  int32_t Next(int32_t state, uint8_t byte) const {
    return next[static_cast<size_t>(state) * static_cast<size_t>(num_classes) + byte_class[byte]];
  }
  bool Matches(std::string_view text) const {
    int32_t state = 0;
    for (size_t i = 0; i < text.size() && state != kDead; ++i)
      state = Next(state, static_cast<uint8_t>(text[i]));
    return state != kDead && accepts[static_cast<size_t>(state)];
  }
};

// The least one that matches what `regex` does: from every state some text leads to a match. Throws Error
// (naming `where`) where that takes too many states or too much work, as patterns can make it.
ByteAutomaton BuildByteAutomaton(const Regex& regex, const std::string& where);

}  // namespace fourstep
