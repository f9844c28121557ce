#include "eval/oracle.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <set>
#include <sstream>

namespace fourstep::oracle {
namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// A failure sets ok to false and yields zeros from then on.
class Evaluator {
 public:
  Evaluator(std::string_view text, int64_t x) : text_(text), x_(x) {}

  std::optional<Evaluation> Run() {
    result_.value = Sum();
    if (!ok_ || at_ != text_.size()) return std::nullopt;
    return result_;
  }

 private:
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  Ratio Fail() {
    ok_ = false;
    at_ = text_.size();
    return {0, 1};
  }
  Ratio Seen(Ratio value) {
    const bool integer = value.numerator % value.denominator == 0;
    const auto quotient = value.numerator / value.denominator;
    result_.plain = result_.plain && integer && quotient >= 1 && quotient <= 999;
    return value;
  }

  Ratio Sum() {
    int sign = 1;
    if (Peek() == '-' || Peek() == '+') sign = text_[at_++] == '-' ? -1 : 1;
    Ratio sum = Product();
    if (sign < 0) sum = Seen({-sum.numerator, sum.denominator});
    while (ok_ && (Peek() == '+' || Peek() == '-')) {
      const int s = text_[at_++] == '-' ? -1 : 1;
      const Ratio next = Product();
      sum = Seen({sum.numerator * next.denominator + s * next.numerator * sum.denominator,
                  sum.denominator * next.denominator});
    }
    return sum;
  }

  Ratio Product() {
    Ratio product = Factor();
    while (ok_) {
      const char op = Peek();
      const bool implicit = op == '(' || op == 'x';
      if (op != '*' && op != '/' && !implicit) break;
      if (!implicit) ++at_;
      Ratio next = Factor();
      if (op == '/') {
        if (next.numerator == 0) return Fail();
        if (next.numerator < 0) next = {-next.numerator, -next.denominator};
        std::swap(next.numerator, next.denominator);
      }
      product = Seen({product.numerator * next.numerator, product.denominator * next.denominator});
    }
    return product;
  }

  Ratio Factor() {
    if (Peek() == 'x') {
      ++at_;
      return {x_, 1};
    }
    if (Peek() == '(') {
      ++at_;
      const Ratio inside = Sum();
      if (Peek() != ')') return Fail();
      ++at_;
      return inside;
    }
    if (!IsDigit(Peek())) return Fail();
    int64_t number = 0;
    for (int digits = 0; IsDigit(Peek()); ++digits) {
      if (digits == 12) return Fail();
      number = number * 10 + (text_[at_++] - '0');
    }
    result_.numbers.push_back(number);
    return Seen({number, 1});
  }

  std::string_view text_;
  int64_t x_;
  size_t at_ = 0;
  bool ok_ = true;
  Evaluation result_{};
};

std::string Between(const std::string& text, const std::string& before, const std::string& after) {
  const size_t begin = text.find(before);
  const size_t end = begin == text.npos ? text.npos : text.find(after, begin + before.size());
  EXPECT_NE(end, text.npos) << "no \"" << before << "...\" in: " << text;
  return end == text.npos ? "" : text.substr(begin + before.size(), end - begin - before.size());
}

std::vector<std::string> Split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end = text.find(separator); end != text.npos; end = text.find(separator, begin)) {
    parts.push_back(text.substr(begin, end - begin));
    begin = end + separator.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::string SortedJoin(std::vector<std::string> parts) {
  std::sort(parts.begin(), parts.end());
  return fmt::format("{}", fmt::join(parts, ";"));
}

std::vector<std::string> DagStatements(const std::string& text) {
  return Split(Between(text, "modulo 100. ", ". What is "), ". ");
}

std::optional<int64_t> SolveDag(const std::string& text) {
  std::map<std::string, std::string> formulas;
  for (const std::string& statement : DagStatements(text)) {
    const std::vector<std::string> sides = Split(statement, "=");
    if (sides.size() != 2 || !formulas.emplace(sides[0], sides[1]).second) return std::nullopt;
  }
  std::set<std::string> open;  // on the way: meeting one again would be a circle
  std::function<std::optional<int64_t>(const std::string&)> Value;
  Value = [&](const std::string& term) -> std::optional<int64_t> {
    if (IsDigit(term[0])) return std::stoll(term);
    const auto formula = formulas.find(term);
    if (formula == formulas.end() || !open.insert(term).second) return std::nullopt;
    const size_t op = formula->second.find_first_of("+-*");
    std::optional<int64_t> value = Value(formula->second.substr(0, op));
    if (value && op != std::string::npos) {
      const auto right = Value(formula->second.substr(op + 1));
      if (!right) return std::nullopt;
      const char sign = formula->second[op];
      value = sign == '+' ? *value + *right : sign == '-' ? *value - *right : *value * *right;
      value = (*value % 100 + 100) % 100;
    }
    open.erase(term);
    return value;
  };
  return Value(Between(text, ". What is ", "?"));
}

using Row = std::vector<std::string>;  // the words after the code
std::map<std::string, Row> LedgerTable(const std::string& text, const std::string& title) {
  std::map<std::string, Row> table;
  for (const std::string& line : Split(Between(text, title + ": ", ".\n"), "; ")) {
    Row words = Split(line, " ");
    const std::string code = words[0];
    words.erase(words.begin());
    EXPECT_TRUE(table.emplace(code, words).second) << code << " stands twice in: " << text;
  }
  return table;
}

std::optional<int64_t> SolveLedger(const std::string& text) {
  const auto orders = LedgerTable(text, "Orders"), items = LedgerTable(text, "Items"),
             shops = LedgerTable(text, "Shops");
  int64_t total = 0;
  for (const std::string& code : Split(Between(text, "What do ", " cost together?"), " and ")) {
    const auto order = orders.find(code);
    if (order == orders.end()) return std::nullopt;
    const auto item = items.find(order->second.at(2));  // "8 of #CODE"
    if (item == items.end()) return std::nullopt;
    const auto shop = shops.find(item->second.at(2));  // "43 from #CODE"
    if (shop == shops.end()) return std::nullopt;
    total += std::stoll(order->second[0]) * std::stoll(item->second[0]) + std::stoll(shop->second.at(0));
  }
  return total;
}

// Linear, so two points tell the rest.
std::optional<int64_t> SolveEquation(const std::string& text) {
  const std::vector<std::string> sides = Split(text.substr(text.find(": ") + 2), "=");
  if (sides.size() != 2) return std::nullopt;
  int64_t difference[2];
  for (int x : {0, 1}) {
    const auto left = Evaluate(sides[0], x), right = Evaluate(sides[1], x);
    if (!left || !right) return std::nullopt;
    difference[x] = static_cast<int64_t>(left->value.numerator - right->value.numerator);
  }
  const int64_t slope = difference[1] - difference[0];
  if (slope == 0 || difference[0] % slope != 0) return std::nullopt;
  return -difference[0] / slope;
}

std::optional<int64_t> SolveArithmetic(const std::string& text) {
  std::string formula = Between(text, "What is ", "?");
  const bool modular = formula.ends_with(" mod 100");
  const auto value = Evaluate(modular ? formula.substr(0, formula.size() - 8) : formula);
  if (!value || value->value.numerator % value->value.denominator != 0) return std::nullopt;
  const auto quotient = static_cast<int64_t>(value->value.numerator / value->value.denominator);
  return modular ? quotient % 100 : quotient;
}

}  // namespace

std::optional<Evaluation> Evaluate(std::string_view text, int64_t x) {
  return Evaluator(text, x).Run();
}

Countdown ReadCountdown(std::string_view text) {
  const std::string copy(text);
  Countdown problem{{}, std::stoll(Between(copy, "to make ", "."))};
  for (const std::string& number : Split(Between(copy, "the numbers ", " once"), ",")) {
    problem.numbers.push_back(std::stoll(number));
  }
  return problem;
}

// By subsets: everything that each subset of the numbers can make.
bool Reachable(const std::vector<int64_t>& numbers, int64_t target) {
  const size_t num_subsets = size_t{1} << numbers.size();
  std::vector<std::set<int64_t>> makes(num_subsets);
  for (size_t i = 0; i < numbers.size(); ++i) makes[size_t{1} << i].insert(numbers[i]);
  for (size_t all = 1; all < num_subsets; ++all) {
    for (size_t left = (all - 1) & all; left > 0; left = (left - 1) & all) {
      for (const int64_t a : makes[left]) {
        for (const int64_t b : makes[all ^ left]) {
          for (const int64_t c : {a + b, a - b, a * b, a % b == 0 ? a / b : 0}) {
            if (c >= 1 && c <= 999) makes[all].insert(c);
          }
        }
      }
    }
  }
  return makes[num_subsets - 1].contains(target);
}

std::optional<int64_t> Solve(std::string_view task, const std::string& text) {
  if (task == "dag") return SolveDag(text);
  if (task == "ledger") return SolveLedger(text);
  if (task == "equation") return SolveEquation(text);
  if (task == "arithmetic") return SolveArithmetic(text);
  ADD_FAILURE() << "no solver for " << task;
  return std::nullopt;
}

std::string Canonical(std::string_view task, const std::string& text) {
  if (task == "countdown") {
    Countdown read = ReadCountdown(text);
    std::sort(read.numbers.begin(), read.numbers.end());
    return fmt::format("{}:{}", fmt::join(read.numbers, ","), read.target);
  }
  if (task == "dag") {
    return fmt::format("{}:{};", Between(text, ". What is ", "?"), SortedJoin(DagStatements(text)));
  }
  if (task == "ledger") {
    std::string form;
    for (const char* title : {"Orders: ", "Items: ", "Shops: "}) {
      form += SortedJoin(Split(Between(text, title, ".\n"), "; ")) + "|";
    }
    return form + SortedJoin(Split(Between(text, "What do ", " cost together?"), " and "));
  }
  return task == "arithmetic" ? Between(text, "What is ", "?") : text;
}

std::vector<std::string> FalseEquations(std::string_view text, int64_t x, int& num_checked) {
  constexpr std::string_view kSymbols = "0123456789x+-*/()=", kModulo = "mod ";
  std::vector<std::string> wrong;
  for (size_t begin = text.find_first_of(kSymbols); begin < text.size();) {
    const size_t end = std::min(text.find_first_not_of(kSymbols, begin), text.size());
    const std::string run(text.substr(begin, end - begin));
    // "12*34 mod 100=8" is no statement about 100.
    const bool after_modulo = text.substr(0, begin).ends_with(kModulo);
    const std::vector<std::string> sides = Split(run, "=");
    std::optional<Ratio> value;
    for (const std::string& side : sides) {
      const auto evaluation = Evaluate(side, x);
      if (!evaluation || after_modulo) continue;
      if (value && !(*value == evaluation->value)) wrong.push_back(run);
      if (value) ++num_checked;
      value = evaluation->value;
    }
    begin = text.find_first_of(kSymbols, end);
  }
  return wrong;
}

}  // namespace fourstep::oracle
