// equation: a linear equation in x with brackets on both sides and an integer solution; expanded, collected
// and divided, with products of two-digit numbers in one go.

#include <fmt/format.h>

#include <cmath>

#include "eval/answer.h"
#include "eval/task.h"

namespace fourstep {
namespace {

enum Knobs { kBrackets, kCoefficient, kSolution };
constexpr Knob kKnobs[] = {
    {"brackets", "products of a number and a bracket, over both sides", {1, 6}, {1, 6}, {4, 4}},
    {"coefficient", "largest coefficient", {3, 60}, {4, 50}, {30, 30}},
    {"solution", "largest magnitude of the solution", {3, 60}, {5, 50}, {30, 30}},
};

const Wording kStart =
    "[We|I|Let us] [start with|have|look at|solve] {0}={1}[.|;|, and] [first|now|here] [the "
    "brackets|expand|multiply out][.|:]\n\n";
const Wording kExpand = "[Now|Next|Then|Here|So] {0}[ gives| is| becomes|, which makes]{1}[.|;|,]";
const Wording kRemark =
    "[ Careful| Watch| Mind| Attention][ with| about| here,] [signs|the signs|both products][.|!| again.][ "
    "Good| Fine| Right| Okay][, on| so next| then further|. Onward][.|!|:]";
const Wording kSide =
    "[The left|On the left|Left] [side|part][ is| has| reads:| becomes] {0}[, that is|, so|. Together|, or] "
    "{1}[.|!|;] [All good|Yes|Fine][, on| so next|, going on][.|!]\n\n";
const Wording kOtherSide =
    "[The right|On the right|Right] [side|part][ is| has| reads:| becomes] {0}[, that is|, so|. Together|, "
    "or] {1}[.|!|;] [All good|Yes|Fine][, on| so next|, going on][.|!]\n\n";
const Wording kMove =
    "[So|Hence|Now|Thus] {0}={1}[.|;|, and] [Move|Bring|Take|Put] [x|terms] [left|to one side|over]: "
    "{2}={3}[, so|, giving|. Then|, or] {4}={5}[.|!|;]\n\n";
const Wording kDivide =
    "[Divide|Dividing|Now divide|Finally divide] [by|through by] {0}[:|, so|, giving|. Then] x={1}[.|!]\n\n";
const Wording kAnswer = "[The solution|So x|The answer|Here x][ is| equals| must be]";

// a x + b
struct Linear {
  int64_t a = 0, b = 0;
  Linear& operator+=(const Linear& other) {
    a += other.a;
    b += other.b;
    return *this;
  }
  int64_t At(int64_t x) const { return a * x + b; }
};

// "+7", "-3"
std::string Signed(int64_t value) {
  return fmt::format("{:+d}", value);
}

std::string Join(const std::vector<std::string>& terms) {
  std::string text;
  for (const std::string& term : terms) text += term;
  if (text.starts_with('+')) text.erase(0, 1);
  return text.empty() ? "0" : text;
}

// Coefficient and x, signed: "+3x", "-x".
std::string XTerm(int64_t a) {
  return a == 1 ? "+x" : a == -1 ? "-x" : Signed(a) + "x";
}

std::vector<std::string> TermsOf(const Linear& l) {
  std::vector<std::string> terms;
  if (l.a != 0) terms.push_back(XTerm(l.a));
  if (l.b != 0) terms.push_back(Signed(l.b));
  return terms;
}

std::string TextOf(const Linear& l) {
  return Join(TermsOf(l));
}

// factor * (inside); a plain term where factor is 0.
struct Bracket {
  int64_t factor;
  Linear inside;
  Linear Expanded() const { return factor == 0 ? inside : Linear{factor * inside.a, factor * inside.b}; }
  std::string Text() const {  // signed
    return factor == 0
               ? Join(TermsOf(inside)).insert(0, inside.a > 0 || (inside.a == 0 && inside.b > 0) ? "+" : "")
               : fmt::format("{:+d}({})", factor, TextOf(inside));
  }
};
using Side = std::vector<Bracket>;

std::string TextOf(const Side& side) {
  std::vector<std::string> terms;
  for (const Bracket& bracket : side) terms.push_back(bracket.Text());
  return Join(terms);
}

Linear Total(const Side& side) {
  Linear total;
  for (const Bracket& bracket : side) total += bracket.Expanded();
  return total;
}

std::string ExpandedText(const Side& side) {
  std::vector<std::string> terms;
  for (const Bracket& bracket : side) {
    for (std::string& term : TermsOf(bracket.Expanded())) terms.push_back(std::move(term));
  }
  return Join(terms);
}

int64_t NonZero(int limit, PhiloxStream& random) {
  const int64_t magnitude = random.Between(2, limit);
  return random.Chance(0.6) ? magnitude : -magnitude;
}

class Equation final : public GeneratedTask {
 public:
  std::string_view name() const override { return "equation"; }
  std::string_view summary() const override { return "solve a linear equation with brackets"; }
  std::span<const Knob> knobs() const override { return kKnobs; }

  Problem Generate(std::span<const int> knob_values, Writer& writer) const override {
    PhiloxStream& random = writer.random();
    const int limit = knob_values[kCoefficient];
    Side left, right;
    int64_t x = 0;
    do {
      left.clear();
      right.clear();
      for (int i = 0; i < knob_values[kBrackets]; ++i) {
        const Linear inside{NonZero(std::max(3, limit / 3), random), NonZero(limit, random)};
        (i % 2 == 0 ? left : right).push_back({NonZero(limit, random), inside});
      }
      (random.Chance(0.5) ? left : right).push_back({0, {NonZero(limit, random), 0}});
      x = random.Between(-knob_values[kSolution], knob_values[kSolution]);
      right.push_back({0, {0, Total(left).At(x) - Total(right).At(x)}});
    } while (Total(left).a == Total(right).a || right.back().inside.b == 0 || x == 0);

    Problem problem;
    problem.text = fmt::format("Solve for x: {}={}", TextOf(left), TextOf(right));
    problem.canonical = problem.text;
    problem.answer = std::to_string(x);
    WriteReasoning(left, right, x, writer);
    writer.Text("</think>\n\n");
    writer.Say(kAnswer);
    writer.Text(" \\boxed{" + problem.answer + "}.");
    return problem;
  }

  bool IsRight(std::string_view, std::string_view answer, std::string_view boxed) const override {
    boxed = TrimBlanks(boxed);
    if (boxed.starts_with('x')) {  // "x = 5" is as right as "5"
      boxed = TrimBlanks(boxed.substr(1));
      if (!boxed.starts_with('=')) return false;
      boxed.remove_prefix(1);
    }
    const auto expected = ParseInteger(answer), given = ParseInteger(boxed);
    return expected && given && *expected == *given;
  }

 private:
  static void WriteReasoning(const Side& left, const Side& right, int64_t x, Writer& writer) {
    writer.Text("<think>\n");
    writer.Say(kStart, {TextOf(left), TextOf(right)});
    int expanded = 0;
    for (const Side* side : {&left, &right}) {
      for (const Bracket& bracket : *side) {
        if (bracket.factor == 0) continue;
        if (expanded > 0) writer.Text(expanded % 2 == 0 ? "\n\n" : " ");
        ++expanded;
        writer.Say(kExpand, {Join({bracket.Text()}), " " + TextOf(bracket.Expanded())});
        writer.Say(kRemark);
      }
    }
    writer.Text("\n\n");
    const Linear l = Total(left), r = Total(right);
    writer.Say(kSide, {ExpandedText(left), TextOf(l)});
    writer.Say(kOtherSide, {ExpandedText(right), TextOf(r)});
    const Linear moved{l.a - r.a, r.b - l.b};
    std::vector<std::string> xs = TermsOf({l.a, 0}), constants = TermsOf({0, r.b});
    if (r.a != 0) xs.push_back(XTerm(-r.a));
    if (l.b != 0) constants.push_back(Signed(-l.b));
    writer.Say(kMove, {TextOf(l), TextOf(r), Join(xs), Join(constants), TextOf(Linear{moved.a, 0}),
                       std::to_string(moved.b)});
    writer.Say(kDivide, {std::to_string(moved.a), std::to_string(x)});
  }
};

}  // namespace

const GeneratedTask& EquationTask() {
  static const Equation task;
  return task;
}

}  // namespace fourstep
