#include "eval/race.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"

namespace fourstep {
namespace {

// Tests that a race may make, at most: every round, which doubles the problems, each ordered pair of arms,
// because any arm may come to lead.
double MostTests(const RaceOptions& options, size_t num_arms) {
  const double rounds =
      std::log2(static_cast<double>(options.max_answers) / static_cast<double>(options.first_round)) + 1;
  return std::max(1.0, rounds) * static_cast<double>(num_arms * (num_arms - 1));
}

// Positions in `shares` that stay: all but those whose difference to the leader is below 0 beyond doubt.
std::vector<size_t> Survivors(const std::vector<std::vector<double>>& shares, size_t leader, double error) {
  std::vector<size_t> survivors;
  for (size_t i = 0; i < shares.size(); ++i) {
    // The one bound that matters has half the error of the two-sided interval.
    const bool stays =
        i == leader || PairedDifference(shares[i], shares[leader], /*samples=*/1, 1 - 2 * error).high >= 0;
    if (stays) survivors.push_back(i);
  }
  return survivors;
}

class Race {
 public:
  Race(StudyStore& store, AnswerSource& source, const StudyPlan& plan, const std::vector<ResolvedArm>& arms,
       const RaceOptions& options)
      : store_(store),
        source_(source),
        plan_(plan),
        arms_(arms),
        options_(options),
        error_(options.dropping_error / MostTests(options, arms.size())),
        active_(Count(arms.size())) {
    result_.standings.resize(arms.size());
  }

  // How many problems the next round has in all; nothing where one arm is left or the budget is out.
  std::optional<int64_t> NextRound() const {
    const auto num_active = static_cast<int64_t>(active_.size());
    const int64_t affordable = num_problems_ + (options_.max_answers - result_.num_answers) / num_active;
    const int64_t next = std::min(num_problems_ == 0 ? options_.first_round : 2 * num_problems_, affordable);
    if (num_active == 1 || next == num_problems_) return std::nullopt;
    return next;
  }

  // `problems` begin with those of the rounds before.
  void Run(std::vector<StudyProblem> problems, const std::function<void(int64_t, size_t)>& progress) {
    const auto num_problems = static_cast<int64_t>(problems.size()),
               num_active = static_cast<int64_t>(active_.size());
    StudyPlan round = plan_;
    round.problems = std::move(problems);
    round.samples = 1;
    std::vector<ResolvedArm> racers;
    for (const size_t arm : active_) racers.push_back(arms_[arm]);
    Study study(store_, std::move(round), std::move(racers));
    const int64_t of_earlier_rounds = num_active * num_problems_;
    study.Answer(source_, Count(active_.size()), [&] {
      progress(result_.num_answers + std::max<int64_t>(0, study.num_answered() - of_earlier_rounds),
               active_.size());
      return true;
    });
    result_.num_answers += num_active * (num_problems - num_problems_);
    num_problems_ = num_problems;
    Judge(study);
  }

  const RaceResult& result() const { return result_; }

 private:
  static std::vector<size_t> Count(size_t n) {
    std::vector<size_t> numbers(n);
    std::iota(numbers.begin(), numbers.end(), size_t{0});
    return numbers;
  }

  void Judge(const Study& study) {
    std::vector<std::vector<double>> shares;
    std::vector<double> right;
    for (size_t i = 0; i < active_.size(); ++i) {
      shares.push_back(study.SharesRight(i));
      right.push_back(std::accumulate(shares[i].begin(), shares[i].end(), 0.0));
      result_.standings[active_[i]] = {.accuracy = ProportionInterval(std::llround(right[i]), num_problems_),
                                       .num_problems = num_problems_,
                                       .is_dropped = true};
    }
    const auto leader = static_cast<size_t>(std::max_element(right.begin(), right.end()) - right.begin());
    result_.winner = active_[leader];
    std::vector<size_t> still_in;
    for (const size_t survivor : Survivors(shares, leader, error_)) {
      still_in.push_back(active_[survivor]);
      result_.standings[active_[survivor]].is_dropped = false;
    }
    active_ = std::move(still_in);
  }

  StudyStore& store_;
  AnswerSource& source_;
  const StudyPlan& plan_;
  const std::vector<ResolvedArm>& arms_;
  const RaceOptions& options_;
  double error_;                // of one test
  std::vector<size_t> active_;  // arms that are still in
  int64_t num_problems_ = 0;    // that these have answered
  RaceResult result_;
};

}  // namespace

RaceResult RunRace(StudyStore& store, AnswerSource& source, const StudyPlan& plan,
                   const std::vector<ResolvedArm>& arms, const ProblemLoader& load,
                   const RaceOptions& options,
                   const std::function<void(int64_t answers, size_t arms_left)>& progress) {
  FOURSTEP_CHECK(arms.size() >= 2 && options.max_answers >= static_cast<int64_t>(arms.size()),
                 "{} arms, {} answers", arms.size(), options.max_answers);
  Race race(store, source, plan, arms, options);
  while (const std::optional<int64_t> num_problems = race.NextRound())
    race.Run(load(*num_problems), progress);
  return race.result();
}

}  // namespace fourstep
