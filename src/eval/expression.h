// Arithmetic expressions as answers: + - * / and parentheses over decimal integers, evaluated exactly.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace fourstep {

// numerator / denominator in lowest terms, denominator > 0.
struct Fraction {
  int64_t numerator, denominator;
  bool operator==(const Fraction&) const = default;
};

struct Expression {
  Fraction value;
  std::vector<int64_t> numbers;  // every number as written, in order
};

// Also takes \times, \cdot, \div, the Unicode signs, and blanks. Nothing where it is no expression, is deeper
// than 64 parentheses, divides by zero, or leaves 2^31 on the way.
std::optional<Expression> ParseExpression(std::string_view text);

// Every run of digits in `text`, in order; runs beyond int64 are left out.
std::vector<int64_t> IntegersIn(std::string_view text);

}  // namespace fourstep
