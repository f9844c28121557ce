// A study: the same problems answered by every arm, with the same random numbers, into a file that it can go
// on from.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/answer_source.h"
#include "eval/study_arm.h"
#include "eval/study_store.h"

namespace fourstep {

struct StudyPlan {
  std::vector<StudyProblem> problems;
  int32_t samples = 1;     // answers to a problem, of each arm
  int32_t max_tokens = 0;  // of an answer
  uint64_t seed = 0;
  bool keep_traces = false;  // tokens, entropies and temperatures too
};

// The seed of an answer: a function of the study's seed, the problem and the sample alone, so that all arms
// draw with the same random numbers, however many problems, samples and arms there are.
uint64_t DrawSeed(uint64_t seed, std::string_view problem_id, int64_t sample);

class Study {
 public:
  // Writes what is asked of whom into the store. Throws Error where the file is of another study.
  Study(StudyStore& store, StudyPlan plan, std::vector<ResolvedArm> arms);

  struct Tally {
    int64_t num_right = 0, num_answers = 0;  // of this plan, those of earlier runs included
  };
  const std::vector<Tally>& tallies() const { return tallies_; }  // [arms]
  // Of every problem the share of right answers; those that are missing are not right.
  std::vector<double> SharesRight(size_t arm) const /*[problems]*/;
  const StudyPlan& plan() const { return plan_; }
  const std::vector<ResolvedArm>& arms() const { return arms_; }
  int64_t num_wanted() const;
  int64_t num_answered() const;

  // Arms that one source can answer, by the family: indices, in order of their first. Those that have all
  // their answers are left out.
  std::vector<std::vector<size_t>> UnfinishedFamilies() const;

  // Has these arms answer what is missing, problem by problem. `keep_going` is asked often, and told nothing;
  // false ends it early, with what was answered in the store. Throws what the source throws.
  void Answer(AnswerSource& source, const std::vector<size_t>& arms, const std::function<bool()>& keep_going);

 private:
  struct Cell {
    size_t arm, problem;
    int64_t sample;
  };
  std::vector<Cell> MissingCells(const std::vector<size_t>& arms) const;
  Question QuestionOf(const Cell& cell) const;
  void Keep(const Cell& cell, const SourcedAnswer& answer);
  void Count(size_t arm, size_t problem, const AnswerKey& key, const Verdict& verdict);
  AnswerKey KeyOf(const Cell& cell) const {
    return {arm_keys_[cell.arm], problem_keys_[cell.problem], cell.sample};
  }

  StudyStore& store_;
  StudyPlan plan_;
  std::vector<ResolvedArm> arms_;
  std::vector<int64_t> arm_keys_, problem_keys_;
  std::vector<Tally> tallies_;
  std::vector<std::vector<int32_t>> num_right_;  // [arms][problems]
  std::set<AnswerKey> answered_;
};

}  // namespace fourstep
