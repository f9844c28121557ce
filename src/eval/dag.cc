// dag: a web of definitions modulo 100 in shuffled order, one value asked for. Solving it means finding an
// order in which everything needed is known before it is used, in the manner of iGSM (arXiv 2407.20311).

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "eval/answer.h"
#include "eval/task.h"

namespace fourstep {
namespace {

constexpr int kModulus = 100;

constexpr std::array<std::string_view, 60> kNames = {
    "apple",  "badge",  "basin",  "bench",  "berry", "brick", "cabin",  "candle", "carrot", "chair",
    "clock",  "cloud",  "coin",   "copper", "crane", "desk",  "drum",   "eagle",  "engine", "fence",
    "flag",   "flute",  "forest", "garden", "glass", "grape", "hammer", "harbor", "hat",    "island",
    "jar",    "kettle", "knife",  "ladder", "lamp",  "lemon", "maple",  "marble", "mirror", "needle",
    "nest",   "ocean",  "onion",  "paper",  "pearl", "piano", "plate",  "river",  "robin",  "rope",
    "saddle", "shell",  "spoon",  "stone",  "table", "tiger", "tower",  "violin", "wagon",  "whale"};

enum Knobs { kNeeded, kDistractors };
constexpr Knob kKnobs[] = {
    {"needed", "values on the way to the answer", {2, 24}, {3, 20}, {14, 14}},
    {"distractors", "values that the answer does not need", {0, 12}, {0, 6}, {4, 4}},
};

// name = left op right; a leaf has no inputs. A side is a constant where its index is -1.
struct Definition {
  int left = -1, right = -1;
  char op = 0;  // '+', '-', '*', or 0 for a leaf
  int constant = 0;
  int value = 0;
};

const Wording kPlan =
    "[We need|I need|The goal is|Let me find] {0}. [Begin|Start|Go] with [what|values that|all that] "
    "[is|are] given[.|:]\n\n";
const Wording kOpen = "[Now|Next|Then|Okay|So] [take|find|see|get] ";
const Wording kLeaf = "[, it|, which|, this] is [given as|simply|just] {0}[.|!|;]";
const Wording kDerived = "[, it|, which|, this] is [defined as|simply|just] {0}";
const Wording kRecall = "[. We know|. Here|. Recall|. With] {0}={1}";
const Wording kAnd = "[ and| while| with] {0}={1}";
const Wording kSo = "[, so|, thus|. Then|, giving] {0}={1}={2}";
const Wording kReduce = "[, that is|, or|, hence] {0}[ mod 100| modulo 100]";
const Wording kStop = "[.|!]";
const Wording kEnd = "[That|This|Here] is [what|the value] [we|I] [wanted|needed|asked for][.|!]\n\n";
const Wording kAnswer = "[The value of|So|Therefore] {0}[ is| equals| must be]";

class Dag final : public GeneratedTask {
 public:
  std::string_view name() const override { return "dag"; }
  std::string_view summary() const override {
    return "values defined by each other modulo 100, one asked for";
  }
  std::span<const Knob> knobs() const override { return kKnobs; }
  Problem Generate(std::span<const int> knob_values, Writer& writer) const override;
  bool IsRight(std::string_view, std::string_view answer, std::string_view boxed) const override {
    const auto expected = ParseInteger(answer), given = ParseInteger(boxed);
    return expected && given && *expected == *given;
  }
};

std::string Side(int index, const Definition& d, std::span<const std::string> names) {
  return index < 0 ? std::to_string(d.constant) : names[index];
}

std::string Formula(const Definition& d, std::span<const std::string> names) {
  if (d.op == 0) return std::to_string(d.constant);
  return fmt::format("{}{}{}", Side(d.left, d, names), d.op, Side(d.right, d, names));
}

int RawValue(const Definition& d, std::span<const Definition> all) {
  const int a = d.left < 0 ? d.constant : all[d.left].value,
            b = d.right < 0 ? d.constant : all[d.right].value;
  return d.op == '+' ? a + b : d.op == '-' ? a - b : a * b;
}

// Values 0..needed-1 each feed a later one, and needed-1 is asked for; the rest hang on anything before them.
std::vector<Definition> MakeWeb(int needed, int distractors, PhiloxStream& random) {
  std::vector<Definition> web(static_cast<size_t>(needed + distractors));
  std::vector<int> unused;  // needed values that nothing uses yet
  const auto TakeInput = [&](int below, bool must_use) {
    if (must_use && !unused.empty()) {
      const auto at = random.Below(static_cast<uint32_t>(unused.size()));
      const int index = unused[at];
      unused.erase(unused.begin() + at);
      return index;
    }
    return static_cast<int>(random.Below(static_cast<uint32_t>(below)));
  };
  for (int i = 0; i < needed + distractors; ++i) {
    Definition& d = web[i];
    const bool is_needed = i < needed;
    const int still_to_come = needed - i;  // each joins two: all unused must be joined by the last
    const bool may_leaf = is_needed ? static_cast<int>(unused.size()) + 1 < still_to_come : true;
    const bool leaf = i == 0 || (may_leaf && random.Chance(is_needed ? 0.35 : 0.4));
    d.constant = random.Between(2, leaf ? 99 : 19);
    if (leaf) {
      d.value = d.constant;
    } else {
      d.op = "+-*"[random.Below(3)];
      const bool must_join = is_needed && static_cast<int>(unused.size()) >= still_to_come;
      d.left = TakeInput(i, is_needed);
      if (must_join || random.Chance(0.6)) {
        d.right = TakeInput(i, is_needed);
        if (d.right == d.left) d.right = -1;
      }
      d.value = ((RawValue(d, web) % kModulus) + kModulus) % kModulus;
    }
    if (is_needed) unused.push_back(i);
  }
  return web;
}

void MarkNeeded(std::span<const Definition> web, int index, std::set<int>& needed) {
  if (index < 0 || !needed.insert(index).second) return;
  MarkNeeded(web, web[index].left, needed);
  MarkNeeded(web, web[index].right, needed);
}

void WriteStep(const Definition& d, const std::string& name, std::span<const Definition> web,
               std::span<const std::string> names, Writer& writer) {
  if (d.op == 0) {
    writer.Say(kLeaf, {std::to_string(d.value)});
    return;
  }
  writer.Say(kDerived, {Formula(d, names)});
  const auto Value = [&](int index) { return std::to_string(index < 0 ? d.constant : web[index].value); };
  writer.Say(kRecall, {names[d.left], Value(d.left)});
  if (d.right >= 0) writer.Say(kAnd, {names[d.right], Value(d.right)});
  const int raw = RawValue(d, web);
  writer.Say(kSo, {name, fmt::format("{}{}{}", Value(d.left), d.op, Value(d.right)), std::to_string(raw)});
  if (raw != d.value) writer.Say(kReduce, {std::to_string(d.value)});
  writer.Say(kStop);
}

Problem Dag::Generate(std::span<const int> knob_values, Writer& writer) const {
  PhiloxStream& random = writer.random();
  const std::vector<Definition> web = MakeWeb(knob_values[kNeeded], knob_values[kDistractors], random);
  const int asked = knob_values[kNeeded] - 1;
  std::vector<std::string> names(kNames.begin(), kNames.end());
  for (size_t i = 0; i < web.size(); ++i) {
    std::swap(names[i], names[i + random.Below(static_cast<uint32_t>(names.size() - i))]);
  }
  std::vector<std::string> statements;
  for (size_t i = 0; i < web.size(); ++i)
    statements.push_back(fmt::format("{}={}", names[i], Formula(web[i], names)));
  Problem problem;
  problem.canonical = fmt::format("{}:", names[asked]);
  std::vector<std::string> sorted = statements;
  std::sort(sorted.begin(), sorted.end());
  for (const std::string& s : sorted) problem.canonical += s + ";";
  for (size_t i = statements.size(); i > 1; --i) {
    std::swap(statements[i - 1], statements[random.Below(static_cast<uint32_t>(i))]);
  }
  problem.text = "All values are modulo 100.";
  for (const std::string& s : statements) problem.text += " " + s + ".";
  problem.text += fmt::format(" What is {}?", names[asked]);
  problem.answer = std::to_string(web[asked].value);

  std::set<int> needed, known;
  MarkNeeded(web, asked, needed);
  writer.Text("<think>\n");
  writer.Say(kPlan, {names[asked]});
  int in_step = 0;
  while (known.size() < needed.size()) {
    std::vector<int> ready;
    std::vector<std::string> options;
    for (const int i : needed) {
      const auto Known = [&](int input) { return input < 0 || known.contains(input); };
      if (known.contains(i) || !Known(web[i].left) || !Known(web[i].right)) continue;
      ready.push_back(i);
      options.push_back(names[i]);
    }
    writer.Say(kOpen);
    const int chosen = ready[writer.Decide(options, std::vector<double>(options.size(), 1.0))];
    WriteStep(web[chosen], names[chosen], web, names, writer);
    known.insert(chosen);
    writer.Text(++in_step % 2 == 0 || known.size() == needed.size() ? "\n\n" : " ");
  }
  writer.Say(kEnd);
  writer.Text("</think>\n\n");
  writer.Say(kAnswer, {names[asked]});
  writer.Text(" \\boxed{" + problem.answer + "}.");
  return problem;
}

}  // namespace

const GeneratedTask& DagTask() {
  static const Dag task;
  return task;
}

}  // namespace fourstep
