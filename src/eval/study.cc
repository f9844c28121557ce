#include "eval/study.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"

namespace fourstep {

uint64_t DrawSeed(uint64_t seed, std::string_view problem_id, int64_t sample) {
  const Philox4 bits = Philox(seed, HashText(problem_id), static_cast<uint64_t>(sample));
  return uint64_t{bits.v[0]} << 32 | bits.v[1];
}

Study::Study(StudyStore& store, StudyPlan plan, std::vector<ResolvedArm> arms)
    : store_(store),
      plan_(std::move(plan)),
      arms_(std::move(arms)),
      tallies_(arms_.size()),
      num_right_(arms_.size(), std::vector<int32_t>(plan_.problems.size())) {
  store_.Declare("seed", fmt::format("{}", plan_.seed));
  store_.Declare("max-tokens", fmt::format("{}", plan_.max_tokens));
  store_.Declare("traces", plan_.keep_traces ? "kept" : "not kept");
  std::vector<StudyArm> study_arms;
  for (const ResolvedArm& arm : arms_) study_arms.push_back(arm.arm);
  arm_keys_ = store_.AddArms(study_arms);
  problem_keys_ = store_.AddProblems(plan_.problems);
  store_.Set("samples", fmt::format("{}", plan_.samples));

  std::unordered_map<int64_t, size_t> arm_of, problem_of;
  for (size_t i = 0; i < arms_.size(); ++i) arm_of[arm_keys_[i]] = i;
  for (size_t i = 0; i < problem_keys_.size(); ++i) problem_of[problem_keys_[i]] = i;
  store_.ForEachAnswer(/*with_responses=*/false, [&](const StoredAnswer& answer) {
    const auto arm = arm_of.find(answer.key.arm);
    const auto problem = problem_of.find(answer.key.problem);
    if (arm == arm_of.end() || problem == problem_of.end() || answer.key.sample < 0 ||
        answer.key.sample >= plan_.samples)
      return;
    Count(arm->second, problem->second, answer.key, answer.verdict);
  });
}

void Study::Count(size_t arm, size_t problem, const AnswerKey& key, const Verdict& verdict) {
  const bool is_right = verdict.correct.value_or(false);
  answered_.insert(key);
  ++tallies_[arm].num_answers;
  tallies_[arm].num_right += is_right ? 1 : 0;
  num_right_[arm][problem] += is_right ? 1 : 0;
}

std::vector<double> Study::SharesRight(size_t arm) const {
  std::vector<double> shares;
  for (const int32_t right : num_right_[arm]) shares.push_back(static_cast<double>(right) / plan_.samples);
  return shares;
}

int64_t Study::num_wanted() const {
  return static_cast<int64_t>(arms_.size() * plan_.problems.size()) * plan_.samples;
}

int64_t Study::num_answered() const {
  return static_cast<int64_t>(answered_.size());
}

std::vector<std::vector<size_t>> Study::UnfinishedFamilies() const {
  const int64_t wanted_of_arm = static_cast<int64_t>(plan_.problems.size()) * plan_.samples;
  std::vector<std::vector<size_t>> families;
  for (size_t i = 0; i < arms_.size(); ++i) {
    if (tallies_[i].num_answers == wanted_of_arm) continue;
    const auto family =
        std::find_if(families.begin(), families.end(), [&](const std::vector<size_t>& members) {
          return arms_[members[0]].arm.family == arms_[i].arm.family;
        });
    if (family == families.end()) {
      families.push_back({i});
    } else {
      family->push_back(i);
    }
  }
  return families;
}

std::vector<Study::Cell> Study::MissingCells(const std::vector<size_t>& arms) const {
  std::vector<Cell> cells;
  for (size_t problem = 0; problem < plan_.problems.size(); ++problem) {
    for (int64_t sample = 0; sample < plan_.samples; ++sample) {
      for (const size_t arm : arms) {
        const Cell cell{arm, problem, sample};
        if (!answered_.contains(KeyOf(cell))) cells.push_back(cell);
      }
    }
  }
  return cells;
}

Question Study::QuestionOf(const Cell& cell) const {
  const StudyProblem& problem = plan_.problems[cell.problem];
  Question question{.name = Printable(problem.id), .text = problem.text, .max_tokens = plan_.max_tokens};
  question.sampling = arms_[cell.arm].sampling;
  question.sampling.seed = DrawSeed(plan_.seed, problem.id, cell.sample);
  return question;
}

void Study::Keep(const Cell& cell, const SourcedAnswer& answer) {
  const StudyProblem& problem = plan_.problems[cell.problem];
  StoredAnswer stored{
      .key = KeyOf(cell),
      .response = answer.response,
      .verdict = GradeReply(FindTask(problem.task), problem.text, problem.answer, answer.response),
      .finish = answer.finish == FinishReason::kLength ? "length" : "stop",
      .num_tokens = answer.num_tokens};
  store_.AddAnswer(stored, plan_.keep_traces ? &answer.trace : nullptr);
  Count(cell.arm, cell.problem, stored.key, stored.verdict);
}

void Study::Answer(AnswerSource& source, const std::vector<size_t>& arms,
                   const std::function<bool()>& keep_going) {
  const std::vector<Cell> cells = MissingCells(arms);
  std::unordered_map<int64_t, Cell> submitted;  // by ticket
  size_t next = 0;
  while (next < cells.size() || !submitted.empty()) {
    if (!keep_going()) return;
    while (next < cells.size() && submitted.size() < static_cast<size_t>(source.parallel())) {
      const int64_t ticket = source.Submit(QuestionOf(cells[next]));
      submitted.emplace(ticket, cells[next++]);
    }
    for (const SourcedAnswer& answer : source.Wait()) {
      Keep(submitted.at(answer.ticket), answer);
      submitted.erase(answer.ticket);
    }
  }
}

}  // namespace fourstep
