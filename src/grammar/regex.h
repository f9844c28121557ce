// Regular expressions over UTF-8 text, as a tree. A text matches as a whole: there are no anchors.
//
//   abc  a|b  (a|b)  (?:ab)        literals, alternatives, groups (nothing is captured)
//   a*  a+  a?  a{3}  a{3,}  a{3,5}  repeats; counts up to 1,000
//   .                              any character but a newline
//   [a-z_]  [^a-z]  [\d\-]         classes
//   \d \w \s \D \W \S              digits, letters and digits and _, blanks, of ASCII; and what they are not
//   \n \r \t \f \v \xHH \uHHHH     characters; any other \ stands before a character that is no letter or
//   digit
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/character_set.h"

namespace fourstep {

struct Regex {
  enum class Kind { kSet, kSequence, kAlternatives, kRepeat };
  Kind kind = Kind::kSequence;
  CharacterSet set = {};          // kSet: one character of it, never empty
  std::vector<Regex> parts = {};  // kSequence: none is the empty text; kRepeat: one
  int32_t min = 0, max = 0;       // kRepeat; max -1: no limit
};

// Throws Error (naming `where` and the place) for what is not listed above, for invalid UTF-8, and for more
// than 64 KiB.
Regex ParseRegex(std::string_view pattern, const std::string& where);

// The pattern that matches these texts and no others.
std::string ChoicePattern(std::span<const std::string> texts);

}  // namespace fourstep
