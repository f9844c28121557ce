#include "eval/math_equality.h"

#include <algorithm>
#include <string>

#include "eval/math_answer.h"

namespace fourstep {
namespace {

using Kind = MathAnswer::Kind;

constexpr size_t kMaxSetSize = 64;

bool SameValues(const FormulaValues& a, const FormulaValues& b) {
  size_t num_compared = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!a[i].has_value() && !b[i].has_value()) continue;  // outside of what both are defined for
    if (!Complex::Same(a[i], b[i])) return false;
    ++num_compared;
  }
  return num_compared > 0;
}

FormulaValues Hundredth(const FormulaValues& values) {
  FormulaValues result;
  for (size_t i = 0; i < values.size(); ++i) result[i] = values[i] / Complex(100);
  return result;
}

class Equality {
 public:
  explicit Equality(bool speaks_of_percent) : speaks_of_percent_(speaks_of_percent) {}

  bool Same(const MathAnswer& a, const MathAnswer& b) const {
    if (!a.spelling.empty() && a.spelling == b.spelling) return true;
    if (a.kind == Kind::kEquation && b.kind == Kind::kEquation) return SameEquation(a, b);
    if (a.kind == Kind::kEquation) return SaysItsRightSide(a) && Same(a.parts[1], b);
    if (b.kind == Kind::kEquation) return Same(b, a);
    if (a.kind != b.kind) return SameThough(a, b) || SameThough(b, a);
    switch (a.kind) {
      case Kind::kScalar:
        return SameScalar(a, b);
      case Kind::kTuple:
      case Kind::kMatrix:
        return a.text == b.text && SameInOrder(a, b);
      case Kind::kSet:
      case Kind::kUnion:
        return Holds(a, b) && Holds(b, a);
      case Kind::kBased:
        return a.text == b.text;
      default:
        return false;
    }
  }

 private:
  // "x = 5", and "2 + 3 = 5", which is true of itself.
  bool SaysItsRightSide(const MathAnswer& equation) const {
    const MathAnswer& left = equation.parts[0];
    return !equation.text.empty() || (left.kind == Kind::kScalar && Same(left, equation.parts[1]));
  }

  bool SameScalar(const MathAnswer& a, const MathAnswer& b) const {
    const bool a_percent = a.unit == "%", b_percent = b.unit == "%";
    if (a_percent != b_percent && (a.unit.empty() || b.unit.empty())) {
      if (speaks_of_percent_ && SameValues(a.values, b.values)) return true;
      return SameValues(a_percent ? Hundredth(a.values) : a.values,
                        b_percent ? Hundredth(b.values) : b.values);
    }
    return (a.unit == b.unit || a.unit.empty() || b.unit.empty()) && SameValues(a.values, b.values);
  }

  bool SameInOrder(const MathAnswer& a, const MathAnswer& b) const {
    return std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(),
                      [&](const MathAnswer& x, const MathAnswer& y) { return Same(x, y); });
  }

  bool Holds(const MathAnswer& whole, const MathAnswer& parts) const {
    if (whole.parts.size() > kMaxSetSize || parts.parts.size() > kMaxSetSize) return false;
    return std::all_of(parts.parts.begin(), parts.parts.end(), [&](const MathAnswer& part) {
      return std::any_of(whole.parts.begin(), whole.parts.end(),
                         [&](const MathAnswer& other) { return Same(other, part); });
    });
  }

  // Different kinds that can say the same: a column and a tuple, a set of one and its element, digits whose
  // base one of the two leaves out.
  bool SameThough(const MathAnswer& a, const MathAnswer& b) const {
    if (a.kind == Kind::kSet && a.parts.size() == 1) return Same(a.parts[0], b);
    if (a.kind == Kind::kMatrix && b.kind == Kind::kTuple) {
      return a.text == "column" && b.text == "()" && SameInOrder(a, b);
    }
    if (a.kind == Kind::kBased && b.kind == Kind::kScalar) {
      return a.text.substr(0, a.text.find('_')) + " " == b.spelling;
    }
    return false;
  }

  // The same name and the same right side, or one equation a multiple of the other.
  bool SameEquation(const MathAnswer& a, const MathAnswer& b) const {
    if (a.text == b.text && !a.text.empty()) return Same(a.parts[1], b.parts[1]);
    for (const MathAnswer* side : {&a.parts[0], &a.parts[1], &b.parts[0], &b.parts[1]}) {
      if (side->kind != Kind::kScalar || !side->unit.empty()) return false;
    }
    FormulaValues ratios;
    for (size_t i = 0; i < ratios.size(); ++i) {
      const Complex left = a.parts[0].values[i] - a.parts[1].values[i];
      const Complex right = b.parts[0].values[i] - b.parts[1].values[i];
      ratios[i] = left / right;
      if (Complex::Same(left, Complex(0))) return false;  // it is true of everything
    }
    return Complex::Same(ratios[0], ratios[1]) && Complex::Same(ratios[0], ratios[2]);
  }

  bool speaks_of_percent_;
};

bool IsLetter(char c) {
  return c >= 'a' && c <= 'z';
}

// "(B)" is said by "B", "b", "(B)", "B) 12" and "B: 12".
bool SameWords(const std::string& answer, const std::string& given) {
  if (answer.empty()) return false;
  if (answer == given) return true;
  if (answer.size() != 1 || !IsLetter(answer[0]) || given.size() < 2) return false;
  return given[0] == answer[0] && std::string_view(").:").find(given[1]) != std::string_view::npos;
}

bool SpeaksOfPercent(std::string_view problem) {
  return problem.find("ercent") != problem.npos || problem.find('%') != problem.npos;
}

}  // namespace

bool SaysTheSame(std::string_view answer, std::string_view given, std::string_view problem) {
  const MathAnswer right = ReadMathAnswer(answer), other = ReadMathAnswer(given);
  if (Equality(SpeaksOfPercent(problem)).Same(right, other)) return true;
  const bool in_words = right.kind == Kind::kText || other.kind == Kind::kText;
  return in_words && SameWords(PlainWords(answer), PlainWords(given));
}

}  // namespace fourstep
