#include "eval/formula.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace fourstep {
namespace {

using Kind = LatexToken::Kind;
using Op = Formula::Op;

constexpr int kMaxDepth = 64;

bool IsInteger(const std::string& number) {
  return !number.empty() && number.find_first_not_of("0123456789") == number.npos;
}

Formula Number(std::string text) {
  return {Op::kNumber, std::move(text)};
}
Formula Binary(Op op, Formula a, Formula b) {
  Formula formula{op};
  formula.operands.push_back(std::move(a));
  formula.operands.push_back(std::move(b));
  return formula;
}
Formula Function(std::string name, Formula operand) {
  Formula formula{Op::kFunction, std::move(name)};
  formula.operands.push_back(std::move(operand));
  return formula;
}

// Recursive descent. A function that returns nothing has failed, and so has the whole.
class Parser {
 public:
  explicit Parser(std::span<const LatexToken> tokens) : rest_(tokens.begin(), tokens.end()) {
    std::reverse(rest_.begin(), rest_.end());
  }

  std::optional<Formula> Run() {
    std::optional<Formula> formula = Sum();
    return rest_.empty() ? std::move(formula) : std::nullopt;
  }

 private:
  class Deeper {
   public:
    explicit Deeper(int& depth) : depth_(depth) { ++depth_; }
    ~Deeper() { --depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    int& depth_;
  };

  // The next token and the ones behind it; the rest is kept backwards, so that one can be split.
  const LatexToken* Peek(size_t ahead = 0) const {
    return ahead < rest_.size() ? &rest_[rest_.size() - 1 - ahead] : nullptr;
  }
  bool NextIs(std::string_view sign) const { return !rest_.empty() && rest_.back().Is(sign); }
  bool NextIs(Kind kind) const { return !rest_.empty() && rest_.back().kind == kind; }
  bool Take(std::string_view sign) {
    if (!NextIs(sign)) return false;
    rest_.pop_back();
    return true;
  }
  LatexToken TakeAny() {
    LatexToken token = std::move(rest_.back());
    rest_.pop_back();
    return token;
  }

  std::optional<Formula> Sum() {
    const Deeper deeper(depth_);
    if (depth_ > kMaxDepth) return {};
    std::optional<Formula> sum = Product();
    while (sum && (NextIs("+") || NextIs("-"))) {
      const Op op = TakeAny().text == "+" ? Op::kAdd : Op::kSubtract;
      std::optional<Formula> term = Product();
      if (!term) return {};
      sum = Binary(op, std::move(*sum), std::move(*term));
    }
    return sum;
  }

  std::optional<Formula> Product() {
    std::optional<Formula> product = Signed();
    for (;;) {
      if (!product) return {};
      Op op = Op::kMultiply;
      std::optional<Formula> factor;
      if (NextIs("*") || NextIs("/")) {
        op = TakeAny().text == "*" ? Op::kMultiply : Op::kDivide;
        factor = Signed();
      } else if (BeginsFactor()) {
        factor = Power();
      } else {
        return product;
      }
      if (!factor) return {};
      product = Binary(op, std::move(*product), std::move(*factor));
    }
  }

  // A product without a sign goes on with these. A number does not: "2 3" is no product.
  bool BeginsFactor() const {
    if (NextIs(Kind::kSymbol) || NextIs(Kind::kFunction)) return true;
    if (NextIs("|")) return num_open_bars_ == 0;
    return std::any_of(std::begin(kOpenings), std::end(kOpenings),
                       [&](std::string_view sign) { return NextIs(sign); });
  }

  std::optional<Formula> Signed() {
    bool negative = false;
    while (NextIs("-") || NextIs("+")) negative ^= TakeAny().text == "-";
    std::optional<Formula> power = Power();
    if (!power || !negative) return power;
    return Binary(Op::kSubtract, Number("0"), std::move(*power));
  }

  std::optional<Formula> Power() {
    std::optional<Formula> base = Atom();
    while (base) {
      if (Take("!")) {
        Formula factorial{Op::kFactorial};
        factorial.operands.push_back(std::move(*base));
        base = std::move(factorial);
      } else if (NextIs(Kind::kUnit) && Peek()->text == "degree") {
        TakeAny();
        base = Binary(Op::kDivide, Binary(Op::kMultiply, std::move(*base), {Op::kSymbol, "\\pi"}),
                      Number("180"));
      } else if (Take("^")) {
        std::optional<Formula> exponent = Argument();
        if (!exponent) return {};
        return Binary(Op::kPower, std::move(*base), std::move(*exponent));
      } else {
        return base;
      }
    }
    return {};
  }

  // What LaTeX takes as one argument: a group or one thing. A number is taken whole, as people mean it.
  std::optional<Formula> Argument() {
    const Deeper deeper(depth_);
    if (depth_ > kMaxDepth) return {};
    if (Take("-")) {
      std::optional<Formula> argument = Argument();
      if (!argument) return {};
      return Binary(Op::kSubtract, Number("0"), std::move(*argument));
    }
    if (NextIs(Kind::kNumber)) return Number(TakeAny().text);
    return Atom();
  }

  // \frac34 is three quarters: of a number without braces, one digit.
  std::optional<Formula> DigitArgument() {
    if (!NextIs(Kind::kNumber) || !IsInteger(rest_.back().text)) return Argument();
    std::string& digits = rest_.back().text;
    Formula first = Number(digits.substr(0, 1));
    if (digits.size() == 1) {
      rest_.pop_back();
    } else {
      digits.erase(0, 1);
    }
    return first;
  }

  std::optional<Formula> Group(std::string_view close) {
    std::optional<Formula> inside = Sum();
    return Take(close) ? std::move(inside) : std::nullopt;
  }

  std::optional<Formula> Atom() {
    const Deeper deeper(depth_);
    if (rest_.empty() || depth_ > kMaxDepth) return {};
    if (NextIs(Kind::kNumber)) return NumberAtom();
    if (NextIs(Kind::kSymbol)) return SymbolAtom();
    if (NextIs(Kind::kFunction)) return FunctionAtom();
    if (Take("(")) return Group(")");
    if (Take("[")) return Group("]");
    if (Take("{")) return Group("}");
    if (Take("\\lfloor")) return Wrapped("floor", "\\rfloor");
    if (Take("\\lceil")) return Wrapped("ceil", "\\rceil");
    if (NextIs("\\frac") || NextIs("\\binom")) {
      const Op op = TakeAny().text == "\\frac" ? Op::kDivide : Op::kBinomial;
      std::optional<Formula> top = DigitArgument();
      std::optional<Formula> bottom = top ? DigitArgument() : std::nullopt;
      if (!bottom) return {};
      return Binary(op, std::move(*top), std::move(*bottom));
    }
    if (num_open_bars_ == 0 && Take("|")) {
      ++num_open_bars_;
      std::optional<Formula> absolute = Wrapped("abs", "|");
      --num_open_bars_;
      return absolute;
    }
    return {};
  }

  std::optional<Formula> Wrapped(const char* function, std::string_view close) {
    std::optional<Formula> inside = Group(close);
    if (!inside) return {};
    return Function(function, std::move(*inside));
  }

  // A number, a repeating decimal or a mixed number.
  std::optional<Formula> NumberAtom() {
    std::string text = TakeAny().text;
    if (Take("\\overline")) return Repeating(std::move(text));
    const bool is_integer = IsInteger(text);
    Formula number = Number(std::move(text));
    if (!is_integer) return number;
    if (NextIs(Kind::kNumber) && Peek(1) && Peek(1)->Is("/") && Peek(2) && Peek(2)->kind == Kind::kNumber) {
      Formula top = Number(TakeAny().text);
      Take("/");
      return Binary(Op::kAdd, std::move(number), Binary(Op::kDivide, std::move(top), Number(TakeAny().text)));
    }
    if (!NextIs("\\frac")) return number;
    std::optional<Formula> fraction = Atom();
    if (!fraction) return {};
    const bool is_mixed = fraction->operands[0].op == Op::kNumber && fraction->operands[1].op == Op::kNumber;
    return Binary(is_mixed ? Op::kAdd : Op::kMultiply, std::move(number), std::move(*fraction));
  }

  // `before` with the digits in the braces that follow repeated for ever.
  std::optional<Formula> Repeating(std::string before) {
    if (!Take("{") || !NextIs(Kind::kNumber) || !IsInteger(rest_.back().text)) return {};
    const std::string digits = TakeAny().text;
    if (!Take("}")) return {};
    const size_t point = before.find('.');
    const size_t num_decimals = point == before.npos ? 0 : before.size() - point - 1;
    Formula period = Number(std::string(digits.size(), '9') + std::string(num_decimals, '0'));
    return Binary(Op::kAdd, Number(std::move(before)),
                  Binary(Op::kDivide, Number(digits), std::move(period)));
  }

  // A symbol with its index, which is a part of its name.
  std::optional<Formula> SymbolAtom() {
    Formula symbol{Op::kSymbol, TakeAny().text};
    while (NextIs("'")) symbol.text += TakeAny().text;
    if (!Take("_")) return symbol;
    symbol.text += "_";
    if (!Take("{")) {
      if (rest_.empty()) return {};
      symbol.text += TakeAny().text;
      return symbol;
    }
    while (!rest_.empty() && !NextIs("}")) symbol.text += TakeAny().text;
    return Take("}") ? std::optional(std::move(symbol)) : std::nullopt;
  }

  std::optional<Formula> FunctionAtom() {
    const LatexToken function = TakeAny();
    const std::string_view name = function.text;
    std::optional<Formula> parameter, exponent;
    if (name == "sqrt" && Take("[")) {
      parameter = Group("]");
      if (!parameter) return {};
    }
    if (name == "log" && Take("_")) {
      parameter = Argument();
      if (!parameter) return {};
    }
    if (Take("^")) {
      exponent = Argument();
      if (!exponent) return {};
    }
    std::optional<Formula> operand = name == "sqrt" ? Argument() : Operand();
    if (!operand) return {};
    Formula result = Apply(function.text, std::move(*operand), std::move(parameter));
    if (!exponent) return result;
    return Binary(Op::kPower, std::move(result), std::move(*exponent));
  }

  static Formula Apply(const std::string& name, Formula operand, std::optional<Formula> parameter) {
    if (name == "sqrt") {
      return parameter ? Binary(Op::kRoot, std::move(operand), std::move(*parameter))
                       : Function(name, std::move(operand));
    }
    if (name != "log") return Function(name, std::move(operand));
    Formula base = parameter ? std::move(*parameter) : Number("10");
    return Binary(Op::kDivide, Function("ln", std::move(operand)), Function("ln", std::move(base)));
  }

  // Of a function: a group, or the product that follows up to the next function: \sin 2x.
  std::optional<Formula> Operand() {
    if (NextIs("(") || NextIs("{") || NextIs("[")) return Atom();
    std::optional<Formula> product = Power();
    while (product && BeginsFactor() && !NextIs(Kind::kFunction) && !NextIs("(")) {
      std::optional<Formula> factor = Power();
      if (!factor) return {};
      product = Binary(Op::kMultiply, std::move(*product), std::move(*factor));
    }
    return product;
  }

  static constexpr std::string_view kOpenings[] = {"(", "[", "{", "\\frac", "\\binom", "\\lfloor", "\\lceil"};

  std::vector<LatexToken> rest_;  // the next one last
  int depth_ = 0;
  int num_open_bars_ = 0;
};

// A number that the name and the point give, between 1/2 and 4; negative at the last point.
Complex VariableValue(const std::string& name, size_t point) {
  const uint64_t hash = HashText(name, point);
  constexpr long kUnit = 1L << 50;
  const long numerator = kUnit / 2 + static_cast<long>(hash % static_cast<uint64_t>(7 * kUnit / 2));
  return Complex(point == 2 ? -numerator : numerator) / Complex(kUnit);
}

Complex SymbolValue(const std::string& name, size_t point) {
  if (name == "\\pi") return Complex::Pi();
  if (name == "i") return Complex::ImaginaryUnit();
  if (name == "e") return Complex::Apply("exp", Complex(1));
  return VariableValue(name, point);
}

Complex FunctionValue(const std::string& name, const Complex& x) {
  const Complex one(1);
  if (name == "cot") return Complex::Apply("cos", x) / Complex::Apply("sin", x);
  if (name == "sec") return one / Complex::Apply("cos", x);
  if (name == "csc") return one / Complex::Apply("sin", x);
  if (name == "arccot") return Complex::Apply("arctan", one / x);
  return Complex::Apply(name, x);
}

constexpr long kMaxFactorial = 140;  // beyond, it leaves the range of Complex

Complex Factorial(const Complex& x) {
  const auto n = x.AsInteger(kMaxFactorial);
  if (!n || *n < 0) return Complex::NoValue();
  Complex product(1);
  for (long i = 2; i <= *n; ++i) product = product * Complex(i);
  return product;
}

Complex Binomial(const Complex& top, const Complex& bottom) {
  const auto k = bottom.AsInteger(kMaxFactorial);
  if (!k || *k < 0) return Complex::NoValue();
  Complex value(1);
  for (long i = 0; i < *k; ++i) value = value * (top - Complex(i)) / Complex(i + 1);
  return value;
}

// The real root of a negative number where the degree is odd; else the principal one.
Complex Root(const Complex& radicand, const Complex& degree) {
  const auto integer = degree.AsInteger(1000);
  const bool is_odd = integer && *integer % 2 != 0;
  const Complex exponent = Complex(1) / degree;
  if (is_odd && radicand.is_negative_real()) return -Complex::Power(-radicand, exponent);
  return Complex::Power(radicand, exponent);
}

Complex ValueAt(const Formula& formula, size_t point) {
  if (formula.op == Op::kNumber) return Complex::FromDecimal(formula.text);
  if (formula.op == Op::kSymbol) return SymbolValue(formula.text, point);
  const Complex a = ValueAt(formula.operands[0], point);
  if (formula.op == Op::kFunction) return FunctionValue(formula.text, a);
  if (formula.op == Op::kFactorial) return Factorial(a);
  const Complex b = ValueAt(formula.operands[1], point);
  switch (formula.op) {
    case Op::kAdd:
      return a + b;
    case Op::kSubtract:
      return a - b;
    case Op::kMultiply:
      return a * b;
    case Op::kDivide:
      return a / b;
    case Op::kPower:
      return Complex::Power(a, b);
    case Op::kRoot:
      return Root(a, b);
    case Op::kBinomial:
      return Binomial(a, b);
    default:
      return Complex::NoValue();
  }
}

}  // namespace

std::optional<Formula> ParseFormula(std::span<const LatexToken> tokens) {
  return Parser(tokens).Run();
}

FormulaValues Evaluate(const Formula& formula) {
  return {ValueAt(formula, 0), ValueAt(formula, 1), ValueAt(formula, 2)};
}

}  // namespace fourstep
