#include "eval/expression.h"

#include <charconv>
#include <cstdlib>
#include <numeric>
#include <string>

#include "eval/answer.h"

namespace fourstep {
namespace {

constexpr int kMaxDepth = 64;
constexpr int64_t kLimit = int64_t{1} << 31;  // products of two stay within int64

std::optional<Fraction> Reduced(int64_t numerator, int64_t denominator) {
  if (denominator == 0) return std::nullopt;
  const int64_t divisor = std::gcd(numerator, denominator) * (denominator < 0 ? -1 : 1);
  const Fraction f{numerator / divisor, denominator / divisor};
  if (std::abs(f.numerator) >= kLimit || f.denominator >= kLimit) return std::nullopt;
  return f;
}

// Recursive descent; every failure is an empty optional that travels up.
class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  std::optional<Expression> Parse() {
    const auto value = Sum(0);
    SkipBlanks();
    if (!value || !rest_.empty()) return std::nullopt;
    return Expression{*value, std::move(numbers_)};
  }

 private:
  void SkipBlanks() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == '\n'))
      rest_.remove_prefix(1);
  }

  bool Take(std::string_view symbol) {
    SkipBlanks();
    if (!rest_.starts_with(symbol)) return false;
    rest_.remove_prefix(symbol.size());
    return true;
  }
  bool TakeAny(std::initializer_list<std::string_view> symbols) {
    for (const std::string_view symbol : symbols) {
      if (Take(symbol)) return true;
    }
    return false;
  }

  std::optional<Fraction> Sum(int depth) {
    auto value = Product(depth);
    while (value) {
      const bool add = Take("+");
      if (!add && !TakeAny({"-", "−"})) break;
      const auto next = Product(depth);
      if (!next) return std::nullopt;
      const int64_t a = value->numerator * next->denominator, b = next->numerator * value->denominator;
      value = Reduced(add ? a + b : a - b, value->denominator * next->denominator);
    }
    return value;
  }

  std::optional<Fraction> Product(int depth) {
    auto value = Factor(depth);
    while (value) {
      const bool multiply = TakeAny({"*", "\\times", "\\cdot", "×", "·"});
      if (!multiply && !TakeAny({"/", "\\div", "÷"})) break;
      const auto next = Factor(depth);
      if (!next) return std::nullopt;
      value = multiply ? Reduced(value->numerator * next->numerator, value->denominator * next->denominator)
                       : Reduced(value->numerator * next->denominator, value->denominator * next->numerator);
    }
    return value;
  }

  std::optional<Fraction> Factor(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    if (Take("(")) {
      const auto value = Sum(depth + 1);
      return value && Take(")") ? value : std::nullopt;
    }
    SkipBlanks();
    int64_t number = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
    if (error != std::errc() || rest_[0] == '-' || number >= kLimit) return std::nullopt;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    numbers_.push_back(number);
    return Fraction{number, 1};
  }

  std::string_view rest_;
  std::vector<int64_t> numbers_;
};

}  // namespace

std::optional<Expression> ParseExpression(std::string_view text) {
  return Parser(text).Parse();
}

std::vector<int64_t> IntegersIn(std::string_view text) {
  std::vector<int64_t> numbers;
  constexpr std::string_view kDigits = "0123456789";
  for (size_t at = text.find_first_of(kDigits); at < text.size(); at = text.find_first_of(kDigits, at)) {
    const size_t end = std::min(text.find_first_not_of(kDigits, at), text.size());
    if (const auto number = ParseInteger(text.substr(at, end - at))) numbers.push_back(*number);
    at = end;
  }
  return numbers;
}

}  // namespace fourstep
