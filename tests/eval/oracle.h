// Solves the tasks' problems from their text alone, by other means than src/eval, so that tests do not ask
// the code about itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fourstep::oracle {

// Exact: the tests' values are small.
struct Ratio {
  __int128 numerator, denominator;  // denominator > 0, not reduced
  bool Is(int64_t n) const { return numerator == n * denominator; }
  bool operator==(const Ratio& other) const {
    return numerator * other.denominator == other.numerator * denominator;
  }
};

struct Evaluation {
  Ratio value;
  std::vector<int64_t> numbers;  // as written, in order
  bool plain = true;             // every value on the way is an integer of 1..999
};

// + - * / with the usual precedence, signs before a term, products without a sign ("3(2x-5)"). Nothing where
// it is no expression or divides by zero.
std::optional<Evaluation> Evaluate(std::string_view text, int64_t x = 0);

struct Countdown {
  std::vector<int64_t> numbers;
  int64_t target;
};
Countdown ReadCountdown(std::string_view text);

// Can the numbers, each used once, make the target through integers of 1..999?
bool Reachable(const std::vector<int64_t>& numbers, int64_t target);

// The one right integer of a dag, ledger, equation or arithmetic problem; nothing where there is none, or
// more.
std::optional<int64_t> Solve(std::string_view task, const std::string& text);

// Problem::canonical, made from the text: the same for problems that differ only in the order of their parts.
std::string Canonical(std::string_view task, const std::string& text);

// Every "a=b=c" in `text` whose sides differ where x has this value. `num_checked` counts the equations.
std::vector<std::string> FalseEquations(std::string_view text, int64_t x, int& num_checked);

}  // namespace fourstep::oracle
