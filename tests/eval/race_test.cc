#include "eval/race.h"

#include <gtest/gtest.h>

#include "base/philox.h"
#include "eval/made_up_answers.h"

namespace fourstep {
namespace {

std::vector<ResolvedArm> ArmsWithChances(const std::vector<double>& chances) {
  std::vector<ResolvedArm> arms;
  for (const double chance : chances) {
    ResolvedArm& arm = arms.emplace_back();
    arm.arm = {
        .name = "arm" + std::to_string(arms.size()), .identity = std::to_string(chance), .family = "f"};
    arm.sampling.temperature = chance;
  }
  return arms;
}

// A race over made-up problems: no generator, so that many can be run.
RaceResult RaceOf(const std::vector<double>& chances, const RaceOptions& options, uint64_t seed,
                  MadeUpAnswers& source) {
  StudyStore store(":memory:", Database::Mode::kWrite);
  const auto load = [&](int64_t count) {
    std::vector<StudyProblem> problems;
    for (int64_t i = 0; i < count; ++i) {
      const std::string id = "problem " + std::to_string(i);
      problems.push_back({.id = id, .task = "arithmetic", .text = id, .answer = "7"});
    }
    source.Know(problems);
    return problems;
  };
  return RunRace(store, source, {.problems = {}, .seed = seed}, ArmsWithChances(chances), load, options,
                 [](int64_t, size_t) {});
}

TEST(Race, TheBestWinsAndTheWorstDropOutEarly) {
  MadeUpAnswers source;
  const RaceResult race = RaceOf({0.2, 0.5, 0.8, 0.4}, {.max_answers = 2000}, 1, source);
  EXPECT_EQ(race.winner, 2u);
  EXPECT_EQ(race.num_answers, source.num_answered);
  EXPECT_LT(race.num_answers, 1000);  // ends when one is left
  for (const size_t loser : {size_t{0}, size_t{1}, size_t{3}})
    EXPECT_TRUE(race.standings[loser].is_dropped) << loser;
  EXPECT_FALSE(race.standings[2].is_dropped);
  EXPECT_LE(race.standings[0].num_problems, race.standings[1].num_problems);
  EXPECT_NEAR(race.standings[2].accuracy.mean, 0.8, 0.15);
}

TEST(Race, NeverExceedsItsBudgetAndSpendsItOnEquals) {
  for (const int64_t budget : {3, 50, 100, 333, 1000}) {
    MadeUpAnswers source;
    const RaceResult race = RaceOf({0.5, 0.5, 0.5}, {.max_answers = budget}, 2, source);
    EXPECT_LE(source.num_answered, budget);
    EXPECT_GT(source.num_answered, budget - 3);
    EXPECT_EQ(race.num_answers, source.num_answered);
    for (const RaceStanding& standing : race.standings) EXPECT_FALSE(standing.is_dropped);
  }
}

// Arms that are as good as the best must not be dropped more often than was asked for: here all are, each
// right by chances of its own.
TEST(Race, DropsGoodArmsRarely) {
  int num_false = 0;
  constexpr int kRaces = 60;
  for (int i = 0; i < kRaces; ++i) {
    PhiloxStream random(17, static_cast<uint64_t>(i));
    MadeUpAnswers source({}, int64_t{1} << 40,
                         [&](const Sampling&) { return random.Chance(0.5) ? 1.0 : 0.0; });
    const RaceResult race =
        RaceOf({0.5, 0.51, 0.52, 0.53}, {.max_answers = 3000}, static_cast<uint64_t>(i), source);
    for (const RaceStanding& standing : race.standings) num_false += standing.is_dropped ? 1 : 0;
  }
  EXPECT_LE(num_false, 6);  // 3 expected at most
}

}  // namespace
}  // namespace fourstep
