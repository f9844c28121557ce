// The tokens of a mathematical answer, as LaTeX or as plain text: "\frac{1}{2}", "1/2", "½".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fourstep {

struct LatexToken {
  enum class Kind {
    kNumber,    // digits with an optional point and exponent, thousands separators gone: "58500", ".5"
    kSymbol,    // a variable or constant: "x", "\theta", "\pi", "x_{1}"
    kFunction,  // "sin", "ln", "log", "sqrt" ...
    kWord,      // \text{...} or a word written out, blanks at its ends gone
    kUnit,      // "%", "degree", "dollar"
    kSign,      // anything else, in one spelling: "*", "<=", "\cup", "\{", "\frac", "[[" of a matrix
  };
  Kind kind;
  std::string text;

  bool operator==(const LatexToken&) const = default;
  bool Is(std::string_view sign) const { return kind == Kind::kSign && text == sign; }
};

// What only changes the look (\left, \displaystyle, blanks, $, a full stop at the end) is left out. Never
// fails: what is unknown becomes a symbol or a sign.
std::vector<LatexToken> LexLatex(std::string_view text);

}  // namespace fourstep
