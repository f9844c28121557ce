#include "eval/policy_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "eval/entropy_calibration.h"
#include "eval/estimate_text.h"
#include "eval/race.h"
#include "eval/study_problems.h"
#include "runtime/sampling_defaults.h"

namespace fourstep {
namespace {

std::string NameOf(const PolicyCandidate& candidate) {
  if (candidate.is_fixed()) return fmt::format("T {:g}", candidate.t_low);
  return fmt::format("{:g} / {:g} at {:g}", candidate.t_low, candidate.t_high, candidate.percentile);
}

ResolvedArm ArmOf(const PolicyCandidate& candidate) {
  ResolvedArm arm;
  if (candidate.is_fixed()) {
    arm.sampling.policy = "fixed";
    arm.sampling.temperature = candidate.t_low;
  } else {
    arm.sampling.policy = "reset";
    arm.sampling.t_low = candidate.t_low;
    arm.sampling.t_high = candidate.t_high;
    arm.sampling.tau_0 = candidate.tau_0;
  }
  CheckSampling(arm.sampling);
  arm.arm = {.name = NameOf(candidate),
             .identity = DumpJson(
                 {{"t_low", candidate.t_low}, {"t_high", candidate.t_high}, {"tau_0", candidate.tau_0}}),
             .is_fixed = candidate.is_fixed(),
             .family = "candidates"};
  return arm;
}

std::vector<ResolvedArm> ArmsOf(const std::vector<PolicyCandidate>& candidates) {
  std::vector<ResolvedArm> arms;
  for (const PolicyCandidate& candidate : candidates) arms.push_back(ArmOf(candidate));
  return arms;
}

// Problems of all sources in turn, so that the first ones are of all of them.
std::vector<StudyProblem> CalibrationProblems(const std::vector<ProblemSource>& sources, uint64_t seed,
                                              int64_t count) {
  const auto num_sources = static_cast<int64_t>(sources.size());
  std::vector<std::vector<StudyProblem>> of_sources;
  for (ProblemSource source : sources) {
    source.split = Split::kCalibration;
    source.seed = seed;
    of_sources.push_back(LoadProblems(source, (count + num_sources - 1) / num_sources));
  }
  std::vector<StudyProblem> problems;
  for (size_t i = 0; problems.size() < static_cast<size_t>(count); ++i) {
    problems.push_back(std::move(of_sources[i % sources.size()][i / sources.size()]));
  }
  return problems;
}

Json CandidateJson(const PolicyCandidate& candidate) {
  Json json = {{"t_low", candidate.t_low}, {"t_high", candidate.t_high}};
  if (!candidate.is_fixed()) json["percentile"] = candidate.percentile;
  return json;
}

class Chooser {
 public:
  Chooser(StudyStore& store, AnswerSource& source, std::span<const float> entropies,
          const PolicyChoiceOptions& options,
          const std::function<void(int64_t, const std::string&)>& progress)
      : store_(store),
        source_(source),
        entropies_(entropies.begin(), entropies.end()),
        options_(options),
        progress_(progress) {}

  PolicyChoice Choose() {
    const std::vector<PolicyCandidate> candidates = Temperatures();
    const std::vector<ResolvedArm> arms = ArmsOf(candidates);
    const auto least = static_cast<int64_t>(arms.size()) * kFirstRound;
    if (options_.max_answers * 5 / 8 < least) {
      throw Errorf("--budget", "{} answers are too few to race {} candidates, expected {} or more",
                   options_.max_answers, arms.size(), (least * 8 + 4) / 5);
    }
    const RaceResult race = Race(arms, options_.seed, options_.max_answers * 5 / 8);
    PolicyCandidate chosen = candidates[race.winner];
    const PolicyCandidate rival = RivalOf(candidates, race);
    Record(candidates, race, "contestants");
    if (!chosen.is_fixed()) chosen = BestPercentile(chosen);
    const Estimate difference = Check(chosen, rival);
    const bool is_refuted = difference.high < 0;
    PolicyChoice choice{.chosen = is_refuted ? rival : chosen,
                        .summary = Summary(chosen, rival, difference, candidates.size()) +
                                   (is_refuted ? ", which was taken instead" : ""),
                        .record = {}};
    record_["tasks"] = TaskNames();
    for (const ProblemSource& source : options_.sources) {
      for (const std::string& knob : source.knobs) record_["knobs"].push_back(source.task + "." + knob);
    }
    record_["split"] = SplitName(Split::kCalibration);
    record_["seed"] = options_.seed;
    record_["answers"] = num_answers_;
    choice.record = std::move(record_);
    return choice;
  }

 private:
  static constexpr int64_t kFirstRound = 16;  // problems

  std::vector<std::string> TaskNames() const {
    std::vector<std::string> names;
    for (const ProblemSource& source : options_.sources) names.push_back(source.task);
    return names;
  }

  PolicyCandidate Candidate(double t_low, double t_high, double percentile) const {
    return {t_low, t_high, percentile, Percentile(entropies_, percentile)};
  }

  std::vector<PolicyCandidate> Temperatures() const {
    std::vector<PolicyCandidate> candidates;
    for (const double t : options_.fixed) candidates.push_back(Candidate(t, t, options_.percentile));
    for (const double low : options_.t_low) {
      for (const double high : options_.t_high) {
        if (low < high) candidates.push_back(Candidate(low, high, options_.percentile));
      }
    }
    const auto num_fixed =
        std::count_if(candidates.begin(), candidates.end(),
                      [](const PolicyCandidate& candidate) { return candidate.is_fixed(); });
    if (num_fixed == 0 || num_fixed == static_cast<int64_t>(candidates.size())) {
      throw Error("--try-fixed, --try-t-low, --try-t-high",
                  "leave no race: expected a fixed temperature and a pair with T_low below T_high");
    }
    return candidates;
  }

  RaceResult Race(const std::vector<ResolvedArm>& arms, uint64_t seed, int64_t max_answers) {
    const StudyPlan plan{.problems = {}, .max_tokens = options_.max_tokens, .seed = options_.seed};
    const RaceResult race = RunRace(
        store_, source_, plan, arms,
        [&](int64_t count) { return CalibrationProblems(options_.sources, seed, count); },
        {.max_answers = max_answers, .first_round = kFirstRound},
        [&](int64_t answers, size_t arms_left) {
          progress_(num_answers_ + answers, fmt::format("{} candidates left", arms_left));
        });
    num_answers_ += race.num_answers;
    return race;
  }

  void Record(const std::vector<PolicyCandidate>& candidates, const RaceResult& race, const char* key) {
    Json& list = record_[key] = Json::array();
    for (size_t i = 0; i < candidates.size(); ++i) {
      const RaceStanding& standing = race.standings[i];
      Json json = CandidateJson(candidates[i]);
      json["problems"] = standing.num_problems;
      json["accuracy"] = EstimateJson(standing.accuracy);
      json["dropped"] = standing.is_dropped;
      list.push_back(std::move(json));
    }
    num_problems_ = std::max(num_problems_, race.standings[race.winner].num_problems);
  }

  // The best of the other kind: a fixed temperature where two won, two where a fixed one did.
  static PolicyCandidate RivalOf(const std::vector<PolicyCandidate>& candidates, const RaceResult& race) {
    std::optional<size_t> best;
    const auto rank = [&](size_t i) {
      const RaceStanding& standing = race.standings[i];
      return std::pair(standing.num_problems, standing.accuracy.mean);  // who stayed longer is better
    };
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (candidates[i].is_fixed() == candidates[race.winner].is_fixed()) continue;
      if (!best || rank(i) > rank(*best)) best = i;
    }
    return candidates[best.value()];
  }

  PolicyCandidate BestPercentile(const PolicyCandidate& chosen) {
    std::vector<PolicyCandidate> candidates = {chosen};
    for (const double percentile : options_.percentiles) {
      if (percentile != chosen.percentile)
        candidates.push_back(Candidate(chosen.t_low, chosen.t_high, percentile));
    }
    if (candidates.size() == 1) return chosen;
    const RaceResult race = Race(ArmsOf(candidates), options_.seed + 1, options_.max_answers / 8);
    Record(candidates, race, "percentiles");
    return candidates[race.winner];
  }

  // On problems that had no part in the choice: what the winner is worth beside its rival.
  Estimate Check(const PolicyCandidate& chosen, const PolicyCandidate& rival) {
    const int64_t num_fresh = NumFresh();
    StudyPlan plan{.problems = CalibrationProblems(options_.sources, options_.seed + 2, num_fresh),
                   .max_tokens = options_.max_tokens,
                   .seed = options_.seed};
    Study study(store_, std::move(plan), ArmsOf({chosen, rival}));
    study.Answer(source_, {0, 1}, [&] {
      progress_(num_answers_ + study.num_answered(), "the winner on fresh problems");
      return true;
    });
    num_answers_ += study.num_wanted();
    const std::vector<double> a = study.SharesRight(0), b = study.SharesRight(1);
    const Estimate difference = PairedDifference(a, b);
    record_["check"] = {{"problems", num_fresh},
                        {"accuracy", EstimateJson(ClusteredMean(a))},
                        {"against", CandidateJson(rival)},
                        {"difference", EstimateJson(difference)}};
    return difference;
  }

  std::string Summary(const PolicyCandidate& chosen, const PolicyCandidate& rival, const Estimate& difference,
                      size_t num_candidates) const {
    return fmt::format(
        "{} won among {} candidates on {} calibration problems of {} ({} answers in all); on {} fresh ones "
        "it was {} "
        "points from the best {} ({})",
        NameOf(chosen), num_candidates, num_problems_, fmt::join(TaskNames(), ", "), num_answers_, NumFresh(),
        PointsText(difference), rival.is_fixed() ? "fixed temperature" : "two temperatures", NameOf(rival));
  }

  int64_t NumFresh() const { return options_.max_answers / 8; }  // problems of the check, for each of the two

  StudyStore& store_;
  AnswerSource& source_;
  std::vector<float> entropies_;
  const PolicyChoiceOptions& options_;
  const std::function<void(int64_t, const std::string&)>& progress_;
  int64_t num_answers_ = 0, num_problems_ = 0;
  Json record_;
};

}  // namespace

PolicyChoice ChoosePolicy(StudyStore& store, AnswerSource& source, std::span<const float> entropies,
                          const PolicyChoiceOptions& options,
                          const std::function<void(int64_t answers, const std::string& note)>& progress) {
  if (options.sources.empty()) throw Error("--task", "is missing, expected one or more");
  for (const ProblemSource& problems : options.sources) (void)FindGeneratedTask(problems.task);
  return Chooser(store, source, entropies, options, progress).Choose();
}

}  // namespace fourstep
