// Which temperatures are chosen of models whose accuracy is a known function of them.
#include "eval/policy_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "eval/made_up_answers.h"
#include "eval/oracle.h"
#include "eval/study_problems.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

const std::vector<float> kEntropies = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f, 0.9f, 1.0f, 1.1f};

struct Choosing {
  StudyStore store{":memory:", Database::Mode::kWrite};
  MadeUpAnswers source;
  PolicyChoice choice;
};

// `most_problems`: of each task and stage, that the made-up answers know.
void Choose(Choosing& choosing, const PolicyChoiceOptions& options, const MadeUpAnswers::Chance& chance,
            int64_t most_problems = 1500) {
  std::vector<StudyProblem> known;
  for (const ProblemSource& source : options.sources) {
    for (uint64_t seed = options.seed; seed < options.seed + 3; ++seed) {
      for (StudyProblem& problem :
           LoadProblems({.task = source.task, .split = Split::kCalibration, .seed = seed}, most_problems)) {
        known.push_back(std::move(problem));
      }
    }
  }
  choosing.source = MadeUpAnswers(known, int64_t{1} << 40, chance);
  choosing.choice =
      ChoosePolicy(choosing.store, choosing.source, kEntropies, options, [](int64_t, const std::string&) {});
}

double LowOf(const Sampling& sampling) {
  return sampling.policy == "fixed" ? *sampling.temperature : *sampling.t_low;
}
double HighOf(const Sampling& sampling) {
  return sampling.policy == "fixed" ? *sampling.temperature : *sampling.t_high;
}

TEST(PolicyChoice, FindsTwoTemperaturesWhereTheyAreBetter) {
  Choosing choosing;
  Choose(choosing, {.sources = {{.task = "equation"}, {.task = "ledger"}}, .max_answers = 12'000},
         [](const Sampling& s) {
           return 0.9 - 0.5 * std::abs(LowOf(s) - 0.1) - 0.5 * std::abs(HighOf(s) - 0.8) -
                  (s.policy == "reset" ? 0.3 * std::abs(*s.tau_0 - 0.8) : 0);
         });
  const PolicyCandidate& chosen = choosing.choice.chosen;
  EXPECT_EQ(chosen.t_low, 0.1);
  EXPECT_EQ(chosen.t_high, 0.8);
  EXPECT_EQ(chosen.percentile, 70);  // of these entropies 0.8
  EXPECT_NEAR(chosen.tau_0, 0.8, 1e-6);
  const Json& record = choosing.choice.record;
  EXPECT_EQ(record["contestants"].size(), 13u);
  EXPECT_EQ(record["split"], "calibration");
  EXPECT_EQ(record["percentiles"].size(), 3u);
  EXPECT_EQ(record["answers"], choosing.source.num_answered);
  EXPECT_LE(choosing.source.num_answered, 12'000);
  EXPECT_EQ(record["check"]["against"]["t_low"], record["check"]["against"]["t_high"]);
  EXPECT_GT(record["check"]["difference"]["low"], 0);
  EXPECT_THAT(choosing.choice.summary, HasSubstr("from the best fixed temperature (T "));
}

TEST(PolicyChoice, TakesAFixedTemperatureWhereThatIsBetter) {
  Choosing choosing;
  Choose(choosing, {.sources = {{.task = "equation"}}, .max_answers = 4000}, [](const Sampling& s) {
    return 0.9 - 0.4 * std::abs(LowOf(s) - 0.3) - 0.4 * std::abs(HighOf(s) - 0.3);
  });
  EXPECT_TRUE(choosing.choice.chosen.is_fixed());
  EXPECT_EQ(choosing.choice.chosen.t_low, 0.3);
  EXPECT_EQ(choosing.choice.chosen.t_high, 0.3);
  EXPECT_FALSE(choosing.choice.record.contains("percentiles"));
  EXPECT_THAT(choosing.choice.summary, HasSubstr("from the best two temperatures"));
}

// Luck in the race, seen through by the check: what is taken is the rival.
TEST(PolicyChoice, TheCheckCanRefuteTheWinner) {
  Choosing choosing;
  int64_t num_asked = 0;
  Choose(choosing,
         {.sources = {{.task = "equation"}},
          .max_answers = 4000,
          .fixed = {0.3},
          .t_low = {0.1},
          .t_high = {0.8}},
         [&](const Sampling& s) {
           const bool is_racing = ++num_asked <= 200;  // of fixed ones at most: the race is short
           return (s.policy == "fixed") == is_racing ? 0.9 : 0.3;
         });
  EXPECT_FALSE(choosing.choice.chosen.is_fixed());
  EXPECT_LT(choosing.choice.record["check"]["difference"]["high"], 0);
  EXPECT_THAT(choosing.choice.summary, HasSubstr("which was taken instead"));
}

// By the oracle, which finds a problem's split from its text alone.
TEST(PolicyChoice, NeverLooksAtEvaluationProblems) {
  Choosing choosing;
  Choose(
      choosing,
      {.sources = {{.task = "countdown"}, {.task = "dag"}, {.task = "ledger"}, {.task = "equation"}},
       .max_answers = 1000},
      [](const Sampling& s) { return 0.5 + 0.1 * LowOf(s); }, /*most_problems=*/100);
  const std::vector<StudyProblem> problems = choosing.store.Problems();
  EXPECT_GT(problems.size(), 50u);
  for (const StudyProblem& problem : problems) {
    const GeneratedTask& task = FindGeneratedTask(problem.task);
    EXPECT_EQ(SplitOf(task, oracle::Canonical(problem.task, problem.text)), Split::kCalibration)
        << problem.text;
  }
}

TEST(PolicyChoice, SaysWhatCannotBeChosen) {
  const auto fault = [](PolicyChoiceOptions options) -> std::string {
    StudyStore store(":memory:", Database::Mode::kWrite);
    MadeUpAnswers source;
    try {
      (void)ChoosePolicy(store, source, kEntropies, options, [](int64_t, const std::string&) {});
    } catch (const Error& error) {
      return error.what();
    }
    return "no fault";
  };
  EXPECT_THAT(fault({}), HasSubstr("--task"));
  EXPECT_THAT(fault({.sources = {{.task = "chess"}}}), HasSubstr("chess"));
  EXPECT_THAT(fault({.sources = {{.task = "dag"}}, .max_answers = 300}),
              HasSubstr("too few to race 13 candidates, expected 333"));
  EXPECT_THAT(fault({.sources = {{.task = "dag"}}, .fixed = {}}), HasSubstr("no race"));
  EXPECT_THAT(fault({.sources = {{.task = "dag"}}, .t_low = {0.5}, .t_high = {0.5}}), HasSubstr("no race"));
  EXPECT_THAT(fault({.sources = {{.task = "dag"}}, .fixed = {1000}}), HasSubstr("temperature"));
}

}  // namespace
}  // namespace fourstep
