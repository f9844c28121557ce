// The answer to a mathematical problem, read: a number or formula, a list, an interval, an equation, a word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eval/formula.h"

namespace fourstep {

struct MathAnswer {
  enum class Kind {
    kScalar,    // values, unit
    kBased,     // text: "204_5"
    kTuple,     // text: the two brackets, "(]", or ":"; parts; points, vectors, intervals, ratios
    kMatrix,    // text: "column" or "2 rows"; parts in the order of reading
    kSet,       // parts in any order: \{1, 2\}, "1, 2", "1 or 2", 1 \pm 2
    kUnion,     // parts in any order
    kEquation,  // parts: the two sides; text: the name where the left side is but a name
    kText,      // text: words, or what could not be read
  };
  Kind kind = Kind::kText;
  std::string text = {}, unit = {};
  FormulaValues values = {};
  std::vector<MathAnswer> parts = {};
  std::string spelling = {};  // of the tokens
};

// Never fails. Text of more than 1,000 bytes, or nested deeper than 16 lists, is not read but kept as text.
MathAnswer ReadMathAnswer(std::string_view text);

// Words without markup, in small letters: what two texts are compared by.
std::string PlainWords(std::string_view text);

}  // namespace fourstep
