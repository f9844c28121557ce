// countdown: make a target from given numbers, each used exactly once. The trace tries at random, guided
// towards solutions, without memory of what it tried: diversity pays.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "eval/answer.h"
#include "eval/expression.h"
#include "eval/task.h"

namespace fourstep {
namespace {

constexpr int kMaxValue = 999;  // of anything on the way
constexpr int kMaxTries = 12;
constexpr double kGuidedFirst = 0.2, kGuidedLater = 0.8;

enum Knobs { kNumbers };
constexpr Knob kKnobs[] = {
    {"numbers", "how many numbers are given", {3, 5}, {3, 5}, {4, 4}},
};

const Wording kFirst = "[Try|Take|Let us use|Pick|How about] ";
const Wording kLater = "[Then|Next|Now|With these,|After that,] ";
const Wording kLast = "[Finally|Last|So|In the end], ";
const Wording kLeaves = "[, leaving|, so we keep|; left are|. Remaining:|, and have] {0}[.|!|;] ";
const Wording kMissed =
    "[. That is|. This makes|: we get|, giving] {0}[, not|, missing|, far from|, instead of] {1}[.|!|, no.|, "
    "try again.]\n\n";
const Wording kMade =
    "[. That is|. This makes|: we get|, giving] {0}[, exactly|, as wanted|, the target|, which we "
    "need][.|!|, done.]\n\n";
const Wording kWrite =
    "[All together|Written out|In one line|As one expression][:|, that is|, we have|, it reads] {0}[.|!]\n\n";
const Wording kAnswer = "[The answer|One way|A solution|My expression][ is| reads| would be]";

struct Term {
  int value;
  std::string text;  // fully parenthesised where it is not a number
};
using Hand = std::vector<Term>;

struct Move {
  size_t left, right;
  char op;
  int value;
};

std::vector<Move> MovesOf(const Hand& hand) {
  std::vector<Move> moves;
  for (size_t i = 0; i < hand.size(); ++i) {
    for (size_t j = 0; j < hand.size(); ++j) {
      const int a = hand[i].value, b = hand[j].value;
      if (i == j) continue;
      if (a + b <= kMaxValue) moves.push_back({i, j, '+', a + b});
      if (a > b) moves.push_back({i, j, '-', a - b});
      if (a * b <= kMaxValue && a > 1 && b > 1) moves.push_back({i, j, '*', a * b});
      if (b > 1 && a % b == 0) moves.push_back({i, j, '/', a / b});
    }
  }
  return moves;
}

Hand After(const Hand& hand, const Move& move) {
  Hand next;
  const auto Side = [](const Term& t) {
    return t.text.find_first_of("+-*/") == std::string::npos ? t.text : "(" + t.text + ")";
  };
  next.push_back({move.value, Side(hand[move.left]) + move.op + Side(hand[move.right])});
  for (size_t i = 0; i < hand.size(); ++i) {
    if (i != move.left && i != move.right) next.push_back(hand[i]);
  }
  return next;
}

// Whether a multiset of values can make the target; remembers what it found.
class Solver {
 public:
  explicit Solver(int target) : target_(target) {}

  bool CanMake(std::vector<int> values) {
    if (values.size() == 1) return values[0] == target_;
    std::sort(values.begin(), values.end());
    const auto [it, is_new] = known_.try_emplace(values, false);
    if (!is_new) return it->second;
    Hand hand;
    for (const int v : values) hand.push_back({v, ""});
    bool can = false;
    for (const Move& move : MovesOf(hand)) {
      if (move.left > move.right && (move.op == '+' || move.op == '*')) continue;
      if (CanMake(ValuesAfter(values, move))) {
        can = true;
        break;
      }
    }
    return known_[values] = can;
  }

  static std::vector<int> ValuesAfter(const std::vector<int>& values, const Move& move) {
    std::vector<int> next = {move.value};
    for (size_t i = 0; i < values.size(); ++i) {
      if (i != move.left && i != move.right) next.push_back(values[i]);
    }
    return next;
  }

 private:
  int target_;
  std::map<std::vector<int>, bool> known_;
};

std::vector<int> ValuesOf(const Hand& hand) {
  std::vector<int> values;
  for (const Term& t : hand) values.push_back(t.value);
  return values;
}

std::string ListOf(const Hand& hand) {
  std::string list;
  for (const Term& t : hand) list += fmt::format("{}{}", list.empty() ? "" : ",", t.value);
  return list;
}

// One step: draws a move, more often one that still leads to the target, and writes it.
Move ChooseMove(const Hand& hand, double guided, Solver& solver, Writer& writer) {
  const std::vector<Move> moves = MovesOf(hand);
  std::vector<double> weights(moves.size());
  std::vector<std::string> options(moves.size());
  std::vector<char> leads(moves.size());
  double total = 0, leading = 0;
  for (size_t i = 0; i < moves.size(); ++i) {
    const Move& m = moves[i];
    const int a = hand[m.left].value, b = hand[m.right].value;
    const bool commutes = m.op == '+' || m.op == '*';
    weights[i] = !commutes ? 1.0 : a >= b ? 0.7 : 0.3;
    options[i] = fmt::format("{}{}{}={}", a, m.op, b, m.value);
    leads[i] = solver.CanMake(Solver::ValuesAfter(ValuesOf(hand), m));
    total += weights[i];
    if (leads[i]) leading += weights[i];
  }
  for (size_t i = 0; i < moves.size() && leading > 0; ++i) {
    weights[i] *= (1 - guided) / total + (leads[i] ? guided / leading : 0);
  }
  return moves[writer.Decide(options, weights)];
}

// Writes one try; the last hand has one term.
Hand WriteTry(Hand hand, Solver& solver, Writer& writer) {
  const size_t given = hand.size();
  while (hand.size() > 1) {
    const bool first = hand.size() == given;
    writer.Say(first ? kFirst : hand.size() == 2 ? kLast : kLater);
    hand = After(hand, ChooseMove(hand, first ? kGuidedFirst : kGuidedLater, solver, writer));
    if (hand.size() > 1) writer.Say(kLeaves, {ListOf(hand)});
  }
  return hand;
}

class Countdown final : public GeneratedTask {
 public:
  std::string_view name() const override { return "countdown"; }
  std::string_view summary() const override { return "make a target from numbers, each used exactly once"; }
  std::span<const Knob> knobs() const override { return kKnobs; }

  Problem Generate(std::span<const int> knob_values, Writer& writer) const override {
    PhiloxStream& random = writer.random();
    Hand hand;
    int target = 0;
    do {
      hand.clear();
      for (int i = 0; i < knob_values[kNumbers]; ++i) {
        const int value = random.Between(1, 50);
        hand.push_back({value, std::to_string(value)});
      }
      Hand play = hand;
      while (play.size() > 1) {
        const std::vector<Move> moves = MovesOf(play);
        play = After(play, moves[random.Below(static_cast<uint32_t>(moves.size()))]);
      }
      target = play[0].value;
    } while (target < 10 || target > 99);
    Problem problem;
    problem.text =
        fmt::format("Use each of the numbers {} once, with + - * /, to make {}.", ListOf(hand), target);
    std::vector<int> sorted = ValuesOf(hand);
    std::sort(sorted.begin(), sorted.end());
    problem.canonical = fmt::format("{}:{}", fmt::join(sorted, ","), target);
    Solver solver(target);
    for (;;) {  // the search is the same chance again each time, so it ends with probability one
      writer.Rewind(0);
      writer.Text("<think>\n");
      for (int i = 0; i < kMaxTries; ++i) {
        const Hand made = WriteTry(hand, solver, writer);
        if (made[0].value != target) {
          writer.Say(kMissed, {std::to_string(made[0].value), std::to_string(target)});
          continue;
        }
        writer.Say(kMade, {std::to_string(target)});
        writer.Say(kWrite, {made[0].text});
        writer.Text("</think>\n\n");
        writer.Say(kAnswer);
        writer.Text(" \\boxed{" + made[0].text + "}.");
        problem.answer = made[0].text;
        return problem;
      }
    }
  }

  bool IsRight(std::string_view problem, std::string_view, std::string_view boxed) const override {
    std::vector<int64_t> numbers = IntegersIn(problem);
    if (numbers.size() < 2) return false;
    const int64_t target = numbers.back();
    numbers.pop_back();
    const std::optional<Expression> given = ParseExpression(boxed);
    if (!given || !(given->value == Fraction{target, 1})) return false;
    std::vector<int64_t> used = given->numbers;
    std::sort(used.begin(), used.end());
    std::sort(numbers.begin(), numbers.end());
    return used == numbers;
  }
};

}  // namespace

const GeneratedTask& CountdownTask() {
  static const Countdown task;
  return task;
}

}  // namespace fourstep
