// Patterns of requests: any bytes give an automaton or one Error, and what the automaton matches is UTF-8.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "grammar/byte_automaton.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const std::string_view pattern(reinterpret_cast<const char*>(data), size_bytes);
  try {
    const fourstep::ByteAutomaton automaton =
        fourstep::BuildByteAutomaton(fourstep::ParseRegex(pattern, "regex"), "regex");
    // The first way to go on, as far as it leads.
    std::string text;
    for (int32_t state = 0; !automaton.accepts[static_cast<size_t>(state)] && text.size() < 1000;) {
      int byte = 0;
      while (byte < 256 && automaton.Next(state, static_cast<uint8_t>(byte)) < 0) ++byte;
      FOURSTEP_CHECK(byte < 256, "a state leads nowhere");
      text += static_cast<char>(byte);
      state = automaton.Next(state, static_cast<uint8_t>(byte));
    }
    FOURSTEP_CHECK(!automaton.Matches(text) || fourstep::ReplaceInvalidUtf8(text) == text);
  } catch (const fourstep::Error& error) {
    FOURSTEP_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
