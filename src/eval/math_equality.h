// Whether two spellings of a mathematical answer say the same.
#pragma once

#include <string_view>

namespace fourstep {

// Whether `given` says what `answer`, the right one, says. Equal are: numbers of the same exact value,
// formulas that are the same function, tuples and intervals with equal elements and brackets, lists and sets
// in any order, matrices, equations that are multiples of each other, words without regard to case. "x = 5"
// says 5; a unit that one of the two leaves out is understood; where both have one, it must be the same. p %
// is p/100, and p where `problem` speaks of percent. Takes bounded time, whatever the texts hold.
bool SaysTheSame(std::string_view answer, std::string_view given, std::string_view problem);

}  // namespace fourstep
