// From an automaton over bytes to one over the tokens of a vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/sampling_request.h"
#include "grammar/byte_automaton.h"
#include "grammar/token_trie.h"

namespace fourstep {

// Tokens that are no text.
struct GrammarTokens {
  std::vector<int32_t> ends;                       // end the answer
  std::optional<int32_t> think_open, think_close;  // both or neither
};

struct BuiltTokenAutomaton {
  TokenAutomaton automaton;
  // States in which an answer may begin: at its text; in its thinking, which any tokens but an end may make
  // up and which think_close ends; or where think_open or the text may come. The last two: -1 without such
  // tokens.
  int32_t text_state = 0, thinking_state = -1, open_state = -1;
};

// Tokens of `trie` follow while what they write may still become a match; an end follows a match. No state
// lets an answer run into where it could neither go on nor end. Throws Error (naming `where`) where the
// vocabulary cannot write any match, or the table would be too large.
BuiltTokenAutomaton BuildTokenAutomaton(const ByteAutomaton& bytes, const TokenTrie& trie,
                                        const GrammarTokens& tokens, const std::string& where);

}  // namespace fourstep
