#include "eval/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "eval/estimate_text.h"

namespace fourstep {
namespace {

constexpr size_t kMaxLineBytes = size_t{1} << 20;

GradedAnswer ParseVerdict(const std::string& text, const std::string& where) {
  const Json line = ParseJson(text, where, {.max_bytes = kMaxLineBytes});
  const JsonReader reader(line, where);
  const Json& correct = line.contains("correct") ? line["correct"] : reader.Get("correct");
  if (!correct.is_null() && !correct.is_boolean()) {
    throw Error(where,
                "\"correct\" is neither true, false nor null; expected lines of `fourstep tasks grade`");
  }
  return {.id = DumpJson(reader.Get("id")),
          .task = reader.StringOr("task", ""),
          .is_correct = correct.is_boolean() && correct.get<bool>()};
}

// Right or wrong for every problem of the first arm, in its order.
using Outcomes = std::vector<double>;

Outcomes OutcomesOf(const Arm& arm, const Arm& first) {
  std::unordered_map<std::string, bool> by_id;
  for (const GradedAnswer& answer : arm.answers) by_id[answer.id] = answer.is_correct;
  Outcomes outcomes;
  for (const GradedAnswer& answer : first.answers) {
    const auto found = by_id.find(answer.id);
    if (found == by_id.end()) throw Errorf(arm.name, "lacks the problem {} of {}", answer.id, first.name);
    outcomes.push_back(found->second ? 1 : 0);
  }
  if (by_id.size() > outcomes.size()) {
    throw Errorf(arm.name, "has {} problems, {} has {}", by_id.size(), first.name, outcomes.size());
  }
  return outcomes;
}

TaskAccuracies AccuraciesOf(const Arm& first, const std::vector<Outcomes>& outcomes,
                            const std::string* task) {
  TaskAccuracies row;
  row.task = task == nullptr ? "all" : *task;
  for (const Outcomes& arm : outcomes) {
    int64_t correct = 0, count = 0;
    for (size_t i = 0; i < arm.size(); ++i) {
      if (task != nullptr && first.answers[i].task != *task) continue;
      ++count;
      correct += arm[i] > 0 ? 1 : 0;
    }
    row.num_problems = count;
    row.accuracies.push_back(ProportionInterval(correct, count));
  }
  return row;
}

PairedArms CompareTwo(const std::vector<Outcomes>& outcomes, size_t arm, size_t baseline) {
  PairedArms pair;
  pair.arm = arm;
  pair.baseline = baseline;
  const Outcomes &a = outcomes[arm], &b = outcomes[baseline];
  pair.difference = PairedDifference(a, b);
  for (size_t i = 0; i < a.size(); ++i) {
    pair.only_arm += a[i] > b[i] ? 1 : 0;
    pair.only_baseline += b[i] > a[i] ? 1 : 0;
  }
  pair.p_value = McNemarExact(pair.only_arm, pair.only_baseline);
  return pair;
}

void CheckNames(std::span<const Arm> arms) {
  if (arms.size() < 2) throw Errorf("compare", "{} arms, expected at least 2", arms.size());
  std::set<std::string> names;
  for (const Arm& arm : arms) {
    if (!names.insert(arm.name).second) throw Error(Printable(arm.name), "two arms have this name");
  }
}

}  // namespace

Arm ReadArm(const std::string& name, std::istream& lines, const std::string& where) {
  Arm arm{.name = name, .answers = {}};
  std::set<std::string> ids;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    const std::string place = fmt::format("{}: line {}", where, number);
    arm.answers.push_back(ParseVerdict(line, place));
    if (!ids.insert(arm.answers.back().id).second) {
      throw Errorf(place, "the id {} stands on an earlier line too", Printable(arm.answers.back().id));
    }
  }
  if (arm.answers.empty()) throw Error(where, "has no line, expected those of `fourstep tasks grade`");
  return arm;
}

Comparison CompareArms(std::span<const Arm> arms) {
  CheckNames(arms);
  Comparison comparison;
  std::vector<Outcomes> outcomes;
  for (const Arm& arm : arms) {
    comparison.arms.push_back(arm.name);
    outcomes.push_back(OutcomesOf(arm, arms[0]));
  }
  std::vector<std::string> tasks;
  for (const GradedAnswer& answer : arms[0].answers) {
    if (std::find(tasks.begin(), tasks.end(), answer.task) == tasks.end()) tasks.push_back(answer.task);
  }
  for (const std::string& task : tasks) comparison.tasks.push_back(AccuraciesOf(arms[0], outcomes, &task));
  comparison.all = AccuraciesOf(arms[0], outcomes, nullptr);

  std::vector<double> p_values;
  for (size_t baseline = 0; baseline < arms.size(); ++baseline) {
    for (size_t arm = baseline + 1; arm < arms.size(); ++arm) {
      comparison.pairs.push_back(CompareTwo(outcomes, arm, baseline));
      p_values.push_back(comparison.pairs.back().p_value);
    }
  }
  const std::vector<double> adjusted = HolmAdjusted(p_values);
  for (size_t i = 0; i < adjusted.size(); ++i) comparison.pairs[i].p_value_holm = adjusted[i];
  return comparison;
}

Json ComparisonJson(const Comparison& comparison) {
  const auto row_json = [](const TaskAccuracies& row) {
    Json accuracies = Json::array();
    for (const Estimate& accuracy : row.accuracies) accuracies.push_back(EstimateJson(accuracy));
    return Json{{"task", row.task}, {"problems", row.num_problems}, {"accuracies", accuracies}};
  };
  Json tasks = Json::array(), pairs = Json::array();
  for (const TaskAccuracies& row : comparison.tasks) tasks.push_back(row_json(row));
  for (const PairedArms& pair : comparison.pairs) {
    pairs.push_back({{"arm", comparison.arms[pair.arm]},
                     {"baseline", comparison.arms[pair.baseline]},
                     {"difference", EstimateJson(pair.difference)},
                     {"only_arm", pair.only_arm},
                     {"only_baseline", pair.only_baseline},
                     {"p_value", pair.p_value},
                     {"p_value_holm", pair.p_value_holm}});
  }
  return {{"arms", comparison.arms}, {"tasks", tasks}, {"all", row_json(comparison.all)}, {"pairs", pairs}};
}

std::string ComparisonText(const Comparison& comparison) {
  std::string text = fmt::format("{:<14}{:>9}", "accuracy, %", "problems");
  for (const std::string& arm : comparison.arms) text += fmt::format("  {:<20}", Printable(arm));
  const auto add_row = [&](const TaskAccuracies& row) {
    text += fmt::format("\n{:<14}{:>9}", Printable(row.task), row.num_problems);
    for (const Estimate& accuracy : row.accuracies) text += fmt::format("  {:<20}", PercentText(accuracy));
  };
  for (const TaskAccuracies& row : comparison.tasks) {
    if (comparison.tasks.size() > 1 || !row.task.empty()) add_row(row);
  }
  if (comparison.tasks.size() != 1 || comparison.tasks[0].task.empty()) add_row(comparison.all);
  text += fmt::format("\n\n{:<28}  {:<20}  {:<14}  {:>9}  {:>9}\n", "paired difference, points",
                      "[95 % interval]", "only one right", "McNemar p", "with Holm");
  for (const PairedArms& pair : comparison.pairs) {
    text +=
        fmt::format("{:<28}  {:<20}  {:<14}  {:>9.3g}  {:>9.3g}\n",
                    fmt::format("{} - {}", Printable(comparison.arms[pair.arm]),
                                Printable(comparison.arms[pair.baseline])),
                    PointsText(pair.difference), fmt::format("{} : {}", pair.only_arm, pair.only_baseline),
                    pair.p_value, pair.p_value_holm);
  }
  return text;
}

}  // namespace fourstep
