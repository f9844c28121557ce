// arithmetic: one operation and its result. Drills for training; too plain to be studied.

#include <fmt/format.h>

#include "eval/answer.h"
#include "eval/task.h"

namespace fourstep {
namespace {

enum Knobs { kLimit };
constexpr Knob kKnobs[] = {
    {"limit", "largest operand", {9, 999}, {99, 99}, {99, 99}},
};

const Wording kThink = "[So|Here|Now|We get] {0}={1}[.|!]\n\n";
const Wording kAnswer = "[It is|The result is|That makes]";

class Arithmetic final : public GeneratedTask {
 public:
  std::string_view name() const override { return "arithmetic"; }
  std::string_view summary() const override { return "one operation on two numbers: drills for training"; }
  std::span<const Knob> knobs() const override { return kKnobs; }

  Problem Generate(std::span<const int> knob_values, Writer& writer) const override {
    PhiloxStream& random = writer.random();
    const int a = random.Between(0, knob_values[kLimit]), b = random.Between(0, knob_values[kLimit]);
    std::string formula;
    int value = 0;
    switch (random.Below(6)) {
      case 0:
        formula = fmt::format("{}+{}", a, b), value = a + b;
        break;
      case 1:
        formula = fmt::format("{}-{}", a, b), value = a - b;
        break;
      case 2:
        formula = fmt::format("{}*{} mod 100", a, b), value = a * b % 100;
        break;
      case 3:
        formula = fmt::format("{}/{}", a * (b + 1), b + 1), value = a;
        break;
      default:
        formula = fmt::format("{}*{}", a, b), value = a * b;
        break;
    }
    Problem problem;
    problem.text = fmt::format("What is {}?", formula);
    problem.canonical = formula;
    problem.answer = std::to_string(value);
    writer.Text("<think>\n");
    writer.Say(kThink, {formula, problem.answer});
    writer.Text("</think>\n\n");
    writer.Say(kAnswer);
    writer.Text(" \\boxed{" + problem.answer + "}.");
    return problem;
  }

  bool IsRight(std::string_view, std::string_view answer, std::string_view boxed) const override {
    const auto expected = ParseInteger(answer), given = ParseInteger(boxed);
    return expected && given && *expected == *given;
  }
};

}  // namespace

const GeneratedTask& ArithmeticTask() {
  static const Arithmetic task;
  return task;
}

}  // namespace fourstep
