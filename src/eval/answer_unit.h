// Units behind a number, in one spelling: "cm^2" for "square centimeters".
#pragma once

#include <optional>
#include <span>
#include <string>

#include "eval/latex_lexer.h"

namespace fourstep {

// Empty for none and for "units". Nothing where the tokens are no unit.
std::optional<std::string> CanonicalUnit(std::span<const LatexToken> tokens);

}  // namespace fourstep
