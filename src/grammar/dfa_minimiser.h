// The least automaton that matches the same texts (Hopcroft, 1971).
#pragma once

#include "grammar/byte_automaton.h"

namespace fourstep {

// Without states from which nothing matches, numbered in the order in which texts reach them. `automaton`
// must match some text.
ByteAutomaton Minimised(const ByteAutomaton& automaton);

}  // namespace fourstep
