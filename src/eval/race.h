// A race between arms: all answer the same problems with the same random numbers, in rounds; after each round
// those that are surely worse than the best so far drop out, so that the answers go to the arms that are hard
// to tell apart.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "eval/statistics.h"
#include "eval/study.h"

namespace fourstep {

struct RaceOptions {
  int64_t max_answers = 0;       // of all arms together
  int64_t first_round = 32;      // problems; every further round doubles how many there are
  double dropping_error = 0.05;  // chance, over the whole race, to drop an arm that is as good as the best
};

struct RaceStanding {
  Estimate accuracy;  // over the problems that the arm answered
  int64_t num_problems = 0;
  bool is_dropped = false;
};

struct RaceResult {
  std::vector<RaceStanding> standings;  // [arms]
  size_t winner = 0;                    // the most right answers among those that were not dropped
  int64_t num_answers = 0;
};

// Gives the first `count` problems of a sequence.
using ProblemLoader = std::function<std::vector<StudyProblem>(int64_t count)>;

// `plan` without its problems. Two arms or more, of one family; the budget allows each of them one problem at
// least. `progress` is called with the answers so far and the number of arms still in.
RaceResult RunRace(StudyStore& store, AnswerSource& source, const StudyPlan& plan,
                   const std::vector<ResolvedArm>& arms, const ProblemLoader& load,
                   const RaceOptions& options,
                   const std::function<void(int64_t answers, size_t arms_left)>& progress);

}  // namespace fourstep
