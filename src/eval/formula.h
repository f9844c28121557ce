// Formulas: what "\frac{2\sqrt{3}}{x+1}" says, parsed and given values.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/complex.h"
#include "eval/latex_lexer.h"

namespace fourstep {

struct Formula {
  enum class Op {
    kNumber,    // text: decimal
    kSymbol,    // text: name; i, e and \pi are the constants, all others variables
    kFunction,  // text: name, one operand
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kPower,
    kRoot,  // operands: radicand, degree
    kFactorial,
    kBinomial,
  };
  Op op;
  std::string text = {};
  std::vector<Formula> operands = {};
};

// Nothing where the tokens are not one formula, or nest deeper than 64.
std::optional<Formula> ParseFormula(std::span<const LatexToken> tokens);

// The formula at three points: every variable has a fixed random value, of either sign, at each. Two formulas
// that agree at all of them are the same function, but for a chance of about 2^-40.
using FormulaValues = std::array<Complex, 3>;
FormulaValues Evaluate(const Formula& formula);

}  // namespace fourstep
