#include "eval/study_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "eval/answer_votes.h"
#include "eval/estimate_text.h"

namespace fourstep {
namespace {

// An answer without its text.
struct Outcome {
  Verdict verdict;
  bool is_cut;
  int64_t num_tokens;
};

// The answers to the problems that all arms have answered.
struct Outcomes {
  std::vector<StudyArm> arms;
  std::vector<std::string> task_of_problem;              // [problems]
  std::vector<std::vector<std::vector<Outcome>>> cells;  // [arms][problems][samples]
  int64_t num_samples = 1;

  std::vector<double> SharesRight(size_t arm) const {
    std::vector<double> shares;
    for (const std::vector<Outcome>& samples : cells[arm]) {
      const auto right = std::count_if(samples.begin(), samples.end(),
                                       [](const Outcome& o) { return o.verdict.correct.value_or(false); });
      shares.push_back(static_cast<double>(right) / static_cast<double>(samples.size()));
    }
    return shares;
  }
};

Outcomes ReadOutcomes(StudyStore& store) {
  Outcomes outcomes;
  const std::string samples = store.Get("samples");
  outcomes.num_samples = std::max(1, std::atoi(samples.c_str()));
  std::map<std::pair<int64_t, int64_t>, std::vector<Outcome>> answers;  // by problem, arm
  std::set<int64_t> arms_with_answers;
  store.ForEachAnswer(/*with_responses=*/false, [&](const StoredAnswer& answer) {
    if (answer.key.sample < 0 || answer.key.sample >= outcomes.num_samples) return;
    arms_with_answers.insert(answer.key.arm);
    answers[{answer.key.problem, answer.key.arm}].push_back(
        {answer.verdict, answer.finish == "length", answer.num_tokens});
  });
  const std::vector<StudyArm> arms = store.Arms();
  for (const int64_t arm : arms_with_answers) {
    if (arm < 1 || static_cast<size_t>(arm) > arms.size())
      throw Error(Printable(store.path(), 300), "is damaged");
    outcomes.arms.push_back(arms[static_cast<size_t>(arm - 1)]);
  }
  outcomes.cells.resize(outcomes.arms.size());
  const std::vector<StudyProblem> problems = store.Problems();
  for (size_t problem = 0; problem < problems.size(); ++problem) {
    std::vector<std::vector<Outcome>*> of_arms;
    for (const int64_t arm : arms_with_answers) {
      const auto found = answers.find({static_cast<int64_t>(problem) + 1, arm});
      if (found == answers.end() || found->second.size() != static_cast<size_t>(outcomes.num_samples)) break;
      of_arms.push_back(&found->second);
    }
    if (of_arms.size() < outcomes.arms.size()) continue;
    outcomes.task_of_problem.push_back(problems[problem].task);
    for (size_t arm = 0; arm < of_arms.size(); ++arm) outcomes.cells[arm].push_back(std::move(*of_arms[arm]));
  }
  if (outcomes.arms.empty() || outcomes.task_of_problem.empty()) {
    throw Error(Printable(store.path(), 300), "holds no problem yet that every arm has answered");
  }
  return outcomes;
}

Estimate AccuracyOf(const std::vector<double>& shares, int64_t num_samples) {
  if (num_samples > 1) return ClusteredMean(shares);
  const auto right = std::count(shares.begin(), shares.end(), 1.0);
  return ProportionInterval(right, static_cast<int64_t>(shares.size()));
}

std::vector<VoteEstimate> VotesOf(const std::vector<std::vector<Outcome>>& problems, int64_t num_samples) {
  std::vector<VoteEstimate> votes;
  if (num_samples == 1) return votes;
  for (const int64_t k : VoteSizes(num_samples)) {
    std::vector<double> pass, majority;
    for (const std::vector<Outcome>& samples : problems) {
      std::vector<Verdict> verdicts;
      int64_t right = 0;
      for (const Outcome& outcome : samples) {
        verdicts.push_back(outcome.verdict);
        right += outcome.verdict.correct.value_or(false) ? 1 : 0;
      }
      pass.push_back(PassAtK(num_samples, right, k));
      majority.push_back(MajorityAtK(verdicts, k));
    }
    votes.push_back({k, ClusteredMean(pass), ClusteredMean(majority)});
  }
  return votes;
}

ArmResult ResultOf(const Outcomes& outcomes, size_t arm, const std::vector<std::string>& tasks) {
  ArmResult result;
  result.arm = outcomes.arms[arm];
  const std::vector<double> shares = outcomes.SharesRight(arm);
  result.accuracy = AccuracyOf(shares, outcomes.num_samples);
  result.accuracy_bootstrap = BootstrapMean(shares);
  for (const std::string& task : tasks) {
    std::vector<double> of_task;
    for (size_t i = 0; i < shares.size(); ++i) {
      if (outcomes.task_of_problem[i] == task) of_task.push_back(shares[i]);
    }
    result.by_task.push_back(AccuracyOf(of_task, outcomes.num_samples));
  }
  result.votes = VotesOf(outcomes.cells[arm], outcomes.num_samples);
  double no_answer = 0, cut = 0, tokens = 0, num_answers = 0;
  for (const std::vector<Outcome>& samples : outcomes.cells[arm]) {
    for (const Outcome& outcome : samples) {
      ++num_answers;
      no_answer += outcome.verdict.correct ? 0 : 1;
      cut += outcome.is_cut ? 1 : 0;
      tokens += static_cast<double>(outcome.num_tokens);
    }
  }
  result.no_answer = no_answer / num_answers;
  result.cut = cut / num_answers;
  result.mean_tokens = tokens / num_answers;
  return result;
}

ComparisonResult Compare(const std::vector<std::vector<double>>& shares, size_t arm, size_t baseline,
                         int64_t num_samples) {
  ComparisonResult result{.arm = arm, .baseline = baseline, .difference = {}, .difference_bootstrap = {}};
  const std::vector<double>&a = shares[arm], &b = shares[baseline];
  result.difference = PairedDifference(a, b, static_cast<int32_t>(num_samples));
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) {
    differences.push_back(a[i] - b[i]);
    result.only_arm += a[i] > b[i] ? 1 : 0;
    result.only_baseline += b[i] > a[i] ? 1 : 0;
  }
  result.difference_bootstrap = BootstrapMean(differences);
  result.p_value =
      num_samples == 1 ? McNemarExact(result.only_arm, result.only_baseline) : PairedPValue(a, b);
  return result;
}

// The arm of a fixed temperature with the most right answers among those of the same model and numerics.
std::optional<size_t> BestFixedOf(const std::vector<ArmResult>& arms, const std::string& family) {
  std::optional<size_t> best;
  for (size_t i = 0; i < arms.size(); ++i) {
    if (!arms[i].arm.is_fixed || arms[i].arm.family != family) continue;
    if (!best || arms[i].accuracy.mean > arms[*best].accuracy.mean) best = i;
  }
  return best;
}

std::vector<ComparisonResult> DeclaredComparisons(const Outcomes& outcomes,
                                                  const std::vector<ArmResult>& arms) {
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t arm = 1; arm < arms.size(); ++arm) pairs.emplace_back(arm, 0);
  for (size_t arm = 0; arm < arms.size(); ++arm) {
    if (arms[arm].arm.is_fixed) continue;
    const std::optional<size_t> best = BestFixedOf(arms, arms[arm].arm.family);
    if (best && (*best != 0 || arm == 0)) pairs.emplace_back(arm, *best);
  }
  std::vector<std::vector<double>> shares;
  for (size_t arm = 0; arm < arms.size(); ++arm) shares.push_back(outcomes.SharesRight(arm));
  std::vector<ComparisonResult> comparisons;
  std::vector<double> p_values;
  for (const auto& [arm, baseline] : pairs) {
    comparisons.push_back(Compare(shares, arm, baseline, outcomes.num_samples));
    p_values.push_back(comparisons.back().p_value);
  }
  const std::vector<double> adjusted = HolmAdjusted(p_values);
  for (size_t i = 0; i < adjusted.size(); ++i) comparisons[i].p_value_holm = adjusted[i];
  return comparisons;
}

// The identity as an object; as a string where a damaged file holds something else.
Json IdentityJson(const std::string& identity) {
  Json json = Json::parse(identity, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json(identity);
}

// Where the bootstrap disagrees by so much of the half-width, the report says so.
constexpr double kAgreement = 0.25;

bool Agrees(const Estimate& estimate, const Estimate& bootstrap) {
  if (bootstrap.low == bootstrap.high) return true;  // equal values, of which it can say nothing
  const double allowed = kAgreement * estimate.half_width() + 1e-12;
  return std::abs(estimate.low - bootstrap.low) <= allowed &&
         std::abs(estimate.high - bootstrap.high) <= allowed;
}

}  // namespace

StudyReport MakeStudyReport(StudyStore& store) {
  const Outcomes outcomes = ReadOutcomes(store);
  StudyReport report;
  report.path = store.path();
  report.num_problems = static_cast<int64_t>(outcomes.task_of_problem.size());
  report.num_samples = outcomes.num_samples;
  for (const std::string& task : outcomes.task_of_problem) {
    const auto found = std::find(report.tasks.begin(), report.tasks.end(), task);
    if (found == report.tasks.end()) {
      report.tasks.push_back(task);
      report.problems_of_task.push_back(1);
    } else {
      ++report.problems_of_task[static_cast<size_t>(found - report.tasks.begin())];
    }
  }
  for (size_t arm = 0; arm < outcomes.arms.size(); ++arm) {
    report.arms.push_back(ResultOf(outcomes, arm, report.tasks));
  }
  report.comparisons = DeclaredComparisons(outcomes, report.arms);
  return report;
}

Json StudyReportJson(const StudyReport& report) {
  Json tasks = Json::array(), arms = Json::array(), comparisons = Json::array();
  for (size_t i = 0; i < report.tasks.size(); ++i) {
    tasks.push_back({{"task", report.tasks[i]}, {"problems", report.problems_of_task[i]}});
  }
  for (const ArmResult& arm : report.arms) {
    Json by_task = Json::array(), votes = Json::array();
    for (const Estimate& accuracy : arm.by_task) by_task.push_back(EstimateJson(accuracy));
    for (const VoteEstimate& vote : arm.votes) {
      votes.push_back(
          {{"k", vote.k}, {"pass", EstimateJson(vote.pass)}, {"majority", EstimateJson(vote.majority)}});
    }
    arms.push_back({{"name", arm.arm.name},
                    {"identity", IdentityJson(arm.arm.identity)},
                    {"is_fixed", arm.arm.is_fixed},
                    {"accuracy", EstimateJson(arm.accuracy)},
                    {"accuracy_bootstrap", EstimateJson(arm.accuracy_bootstrap)},
                    {"accuracies_by_task", by_task},
                    {"votes", votes},
                    {"no_answer", arm.no_answer},
                    {"cut", arm.cut},
                    {"mean_tokens", arm.mean_tokens}});
  }
  for (const ComparisonResult& pair : report.comparisons) {
    comparisons.push_back({{"arm", report.arms[pair.arm].arm.name},
                           {"baseline", report.arms[pair.baseline].arm.name},
                           {"difference", EstimateJson(pair.difference)},
                           {"difference_bootstrap", EstimateJson(pair.difference_bootstrap)},
                           {"only_arm", pair.only_arm},
                           {"only_baseline", pair.only_baseline},
                           {"p_value", pair.p_value},
                           {"p_value_holm", pair.p_value_holm}});
  }
  return {{"store", report.path},
          {"problems", report.num_problems},
          {"samples", report.num_samples},
          {"tasks", tasks},
          {"arms", arms},
          {"comparisons", comparisons}};
}

std::string StudyReportText(const StudyReport& report) {
  std::string text = fmt::format(
      "{} problems, {} answer{} each by every arm; 95 % intervals\n\n{:<18} {:<20}", report.num_problems,
      report.num_samples, report.num_samples == 1 ? "" : "s", "arm", "right, %");
  if (report.tasks.size() > 1) {
    for (const std::string& task : report.tasks) text += fmt::format(" {:<19}", Printable(task, 19));
  }
  text += fmt::format(" {:>10} {:>6} {:>7}\n", "no answer", "cut", "tokens");
  std::string doubts;
  for (const ArmResult& arm : report.arms) {
    text += fmt::format("{:<18} {:<20}", Printable(arm.arm.name), PercentText(arm.accuracy));
    if (report.tasks.size() > 1) {
      for (const Estimate& accuracy : arm.by_task) text += fmt::format(" {:<19}", PercentText(accuracy));
    }
    text +=
        fmt::format(" {:>9.1f}% {:>5.1f}% {:>7.0f}\n", 100 * arm.no_answer, 100 * arm.cut, arm.mean_tokens);
    if (!Agrees(arm.accuracy, arm.accuracy_bootstrap)) {
      doubts += fmt::format("the bootstrap gives {}: {}\n", Printable(arm.arm.name),
                            PercentText(arm.accuracy_bootstrap));
    }
  }
  if (report.num_samples > 1) {
    text +=
        fmt::format("\n{:<18} {:>5} {:<20} {:<20}\n", "arm", "k", "one of k right, %", "majority of k, %");
    for (const ArmResult& arm : report.arms) {
      for (const VoteEstimate& vote : arm.votes) {
        text += fmt::format("{:<18} {:>5} {:<20} {:<20}\n", Printable(arm.arm.name), vote.k,
                            PercentText(vote.pass), PercentText(vote.majority));
      }
    }
  }
  if (!report.comparisons.empty()) {
    text +=
        fmt::format("\n{:<30} {:<20} {:<14} {:>10} {:>10}\n", "paired difference, points", "[95 % interval]",
                    "only one right", report.num_samples == 1 ? "McNemar p" : "Student p", "with Holm");
  }
  for (const ComparisonResult& pair : report.comparisons) {
    const std::string names = fmt::format("{} - {}", Printable(report.arms[pair.arm].arm.name),
                                          Printable(report.arms[pair.baseline].arm.name));
    text += fmt::format("{:<30} {:<20} {:<14} {:>10.3g} {:>10.3g}\n", names, PointsText(pair.difference),
                        fmt::format("{} : {}", pair.only_arm, pair.only_baseline), pair.p_value,
                        pair.p_value_holm);
    if (!Agrees(pair.difference, pair.difference_bootstrap)) {
      doubts += fmt::format("the bootstrap gives {}: {}\n", names, PointsText(pair.difference_bootstrap));
    }
  }
  return text + (doubts.empty() ? "" : "\n" + doubts);
}

std::string ForecastText(int64_t problems, double half_width) {
  // Variance of a value of 0 or 1 where half are right; of a difference where such a share of the problems
  // part the arms evenly.
  constexpr double kWorst = 0.25, kFewPart = 0.1, kManyPart = 0.25;
  std::string text = fmt::format(
      "{} problems: expect accuracies to within {:.1f} points at worst, paired differences to within {:.1f} "
      "where 10 % of "
      "the problems part two arms, {:.1f} where 25 % do",
      problems, 100 * ExpectedHalfWidth(kWorst, problems), 100 * ExpectedHalfWidth(kFewPart, problems),
      100 * ExpectedHalfWidth(kManyPart, problems));
  if (half_width > 0) {
    text +=
        fmt::format("\n{:g} points need {} problems at worst; as a paired difference {} (10 %) or {} (25 %)",
                    100 * half_width, ProblemsNeeded(kWorst, half_width),
                    ProblemsNeeded(kFewPart, half_width), ProblemsNeeded(kManyPart, half_width));
  }
  return text;
}

}  // namespace fourstep
