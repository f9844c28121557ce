// Studies with answers that a test makes up, so that what is kept, missing and counted is known.
#include "eval/study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "base/error.h"
#include "base/file.h"
#include "eval/made_up_answers.h"
#include "eval/study_merge.h"
#include "eval/study_problems.h"
#include "eval/study_report.h"

namespace fourstep {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ResolvedArm FixedArm(const std::string& name, double temperature) {
  ResolvedArm arm;
  arm.arm = {.name = name,
             .identity = "{\"T\":" + std::to_string(temperature) + "}",
             .is_fixed = true,
             .family = "f"};
  arm.sampling.temperature = temperature;
  return arm;
}

class StudyTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/study_XXXXXX";
    folder_ = mkdtemp(pattern.data());
    plan_.problems = LoadProblems({.task = "arithmetic", .seed = 3}, 20);
    plan_.samples = 2;
    plan_.max_tokens = 100;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return (folder_ / "study.db").string(); }

  static std::vector<std::string> AllAnswers(StudyStore& store) {
    std::vector<std::string> answers;
    store.ForEachAnswer(true, [&](const StoredAnswer& answer) {
      answers.push_back(std::to_string(answer.key.problem) + " " + std::to_string(answer.key.sample) + " " +
                        std::to_string(answer.key.arm) + " " + answer.response + " " +
                        std::to_string(answer.verdict.correct.value_or(false)));
    });
    return answers;
  }

  std::filesystem::path folder_;
  StudyPlan plan_;
};

TEST_F(StudyTest, ArmsShareTheirSeedsAndNothingElseDoes) {
  StudyStore store(Path(), Database::Mode::kWrite);
  Study study(store, plan_, {FixedArm("a", 0.9), FixedArm("b", 0.5)});
  MadeUpAnswers source(plan_.problems);
  EXPECT_EQ(study.num_wanted(), 80);
  study.Answer(source, {0, 1}, [] { return true; });
  EXPECT_EQ(source.num_answered, 80);
  EXPECT_EQ(source.seeds.size(), 40u);
  EXPECT_EQ(study.num_answered(), 80);
  EXPECT_TRUE(study.UnfinishedFamilies().empty());
  EXPECT_NE(DrawSeed(1, "p", 0), DrawSeed(1, "p", 1));
  EXPECT_NE(DrawSeed(1, "p", 0), DrawSeed(2, "p", 0));
  EXPECT_NE(DrawSeed(1, "p", 0), DrawSeed(1, "q", 0));
}

// Two halves of the problems, answered apart, are the whole once they are together.
TEST_F(StudyTest, MergesToTheWhole) {
  const auto answer = [&](const std::string& name, const StudyPlan& plan, double second_temperature = 0.5) {
    const std::string path = (folder_ / name).string();
    StudyStore store(path, Database::Mode::kWrite);
    Study study(store, plan, {FixedArm("a", 0.9), FixedArm("b", second_temperature)});
    MadeUpAnswers source(plan.problems);
    study.Answer(source, {0, 1}, [] { return true; });
    return path;
  };
  const std::string whole = answer("whole.db", plan_);
  StudyPlan front = plan_, back = plan_;
  front.problems.resize(12);
  back.problems.erase(back.problems.begin(), back.problems.begin() + 8);  // four are in both
  const std::vector<std::string> halves = {answer("front.db", front), answer("back.db", back)};
  EXPECT_EQ(MergeStudies(halves, Path()), 80);
  StudyStore merged(Path(), Database::Mode::kRead), expected(whole, Database::Mode::kRead);
  EXPECT_EQ(AllAnswers(merged), AllAnswers(expected));
  EXPECT_EQ(StudyReportText(MakeStudyReport(merged)), StudyReportText(MakeStudyReport(expected)));

  const auto refusal = [&](const std::vector<std::string>& sources, const std::string& name) {
    const std::string destination = (folder_ / name).string();
    std::string message;
    try {
      MergeStudies(sources, destination);
    } catch (const Error& error) {
      message = error.what();
    }
    return message;
  };
  EXPECT_THAT(refusal(halves, "study.db"), HasSubstr("exists already"));
  StudyPlan other_seed = back, other_length = back;
  other_seed.seed = 5;
  other_length.max_tokens = 99;
  StudyPlan other_text = back;
  other_text.problems[0].text += "?";
  EXPECT_THAT(refusal({whole, answer("seed.db", other_seed)}, "x.db"), HasSubstr("under seed 5"));
  EXPECT_THAT(refusal({whole, answer("arm.db", back, 0.4)}, "x.db"),
              AllOf(HasSubstr("arm.db"), HasSubstr("arm b")));
  EXPECT_THAT(refusal({whole, answer("text.db", other_text)}, "x.db"),
              AllOf(HasSubstr("text.db"), HasSubstr(other_text.problems[0].id)));
  EXPECT_THAT(refusal({whole, answer("length.db", other_length)}, "x.db"), HasSubstr("max-tokens"));
  EXPECT_THAT(refusal({whole, "/nowhere.db"}, "x.db"), HasSubstr("/nowhere.db"));
  for (const char* left : {"x.db", "x.db-wal", "x.db-shm"})
    EXPECT_FALSE(std::filesystem::exists(folder_ / left)) << left;
}

TEST_F(StudyTest, GoesOnFromWhereItFailed) {
  std::vector<std::string> expected;
  {
    StudyStore store((folder_ / "whole.db").string(), Database::Mode::kWrite);
    Study study(store, plan_, {FixedArm("a", 0.9), FixedArm("b", 0.5)});
    MadeUpAnswers source(plan_.problems);
    study.Answer(source, {0, 1}, [] { return true; });
    expected = AllAnswers(store);
  }
  int64_t num_answered = 0;
  for (const int64_t patience : {0, 1, 17, 30, 1000}) {
    StudyStore store(Path(), Database::Mode::kWrite);
    Study study(store, plan_, {FixedArm("a", 0.9), FixedArm("b", 0.5)});
    EXPECT_EQ(study.num_answered(), num_answered);
    MadeUpAnswers source(plan_.problems, patience);
    try {
      study.Answer(source, {0, 1}, [] { return true; });
    } catch (const std::runtime_error&) {
    }
    num_answered += source.num_answered;
  }
  EXPECT_EQ(num_answered, 80);  // none twice
  StudyStore store(Path(), Database::Mode::kRead);
  EXPECT_EQ(AllAnswers(store), expected);
}

TEST_F(StudyTest, StopsWhenToldTo) {
  StudyStore store(Path(), Database::Mode::kWrite);
  Study study(store, plan_, {FixedArm("a", 0.9)});
  MadeUpAnswers source(plan_.problems);
  study.Answer(source, {0}, [&] { return source.num_answered < 7; });
  EXPECT_EQ(study.num_answered(), 7);
  EXPECT_EQ(study.UnfinishedFamilies(), (std::vector<std::vector<size_t>>{{0}}));
}

TEST_F(StudyTest, GrowsByArmsProblemsAndSamples) {
  const auto answer = [&](const StudyPlan& plan, const std::vector<ResolvedArm>& arms) {
    StudyStore store(Path(), Database::Mode::kWrite);
    Study study(store, plan, arms);
    MadeUpAnswers source(plan.problems);
    std::vector<size_t> all(arms.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    study.Answer(source, all, [] { return true; });
    return source.num_answered;
  };
  EXPECT_EQ(answer(plan_, {FixedArm("a", 0.9)}), 40);
  EXPECT_EQ(answer(plan_, {FixedArm("b", 0.5), FixedArm("a", 0.9)}), 40);
  StudyPlan more = plan_;
  more.samples = 3;
  more.problems = LoadProblems({.task = "arithmetic", .seed = 3}, 25);
  EXPECT_EQ(answer(more, {FixedArm("a", 0.9), FixedArm("b", 0.5)}), 2 * (25 * 3 - 40));
}

TEST_F(StudyTest, RefusesWhatIsAnotherStudy) {
  const auto fault = [&](const StudyPlan& plan, const ResolvedArm& arm) -> std::string {
    try {
      StudyStore store(Path(), Database::Mode::kWrite);
      const Study study(store, plan, {arm});
    } catch (const Error& error) {
      return error.what();
    }
    return "no fault";
  };
  ASSERT_EQ(fault(plan_, FixedArm("a", 0.9)), "no fault");
  EXPECT_THAT(fault(plan_, FixedArm("a", 0.8)), HasSubstr("another name"));
  StudyPlan other = plan_;
  other.seed = 1;
  EXPECT_THAT(fault(other, FixedArm("a", 0.9)), HasSubstr("seed 0, not 1"));
  other = plan_;
  other.max_tokens = 7;
  EXPECT_THAT(fault(other, FixedArm("a", 0.9)), HasSubstr("max-tokens 100, not 7"));
  other = plan_;
  other.keep_traces = true;
  EXPECT_THAT(fault(other, FixedArm("a", 0.9)), HasSubstr("traces"));
  other = plan_;
  other.problems[4].answer = "0";
  EXPECT_THAT(fault(other, FixedArm("a", 0.9)), HasSubstr(plan_.problems[4].id));
  EXPECT_EQ(fault(plan_, FixedArm("a", 0.9)), "no fault");
}

TEST_F(StudyTest, RefusesOtherFiles) {
  const auto fault = [&](const std::string& contents) -> std::string {
    WriteFile(Path(), contents);
    try {
      const StudyStore store(Path(), Database::Mode::kWrite);
    } catch (const Error& error) {
      return error.what();
    }
    return "no fault";
  };
  EXPECT_THAT(
      fault("no database at all, but long enough to be one, if it were one; sixteen bytes are its header"),
      HasSubstr("no database"));
  std::filesystem::remove(Path());
  {
    Database database(Path(), Database::Mode::kWrite);
    database.Execute("CREATE TABLE theirs (x)");
  }
  EXPECT_THAT(fault(ReadFile(Path(), 1 << 20)), HasSubstr("no file of `fourstep eval`"));
  EXPECT_THROW(StudyStore((folder_ / "none.db").string(), Database::Mode::kRead), Error);
  EXPECT_THROW(StudyStore((folder_ / "no" / "folder.db").string(), Database::Mode::kWrite), Error);
}

// Every byte that a kill or a bad disk may change: an error or the truth, never a crash.
TEST_F(StudyTest, SurvivesDamage) {
  plan_.keep_traces = true;
  {
    StudyStore store(Path(), Database::Mode::kWrite);
    Study study(store, plan_, {FixedArm("a", 0.9), FixedArm("b", 0.5)});
    MadeUpAnswers source(plan_.problems);
    study.Answer(source, {0, 1}, [] { return true; });
  }
  const std::string good = ReadFile(Path(), 1 << 20);
  int num_refused = 0;
  for (size_t at = 0; at < good.size(); at += 331) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x5a);
    WriteFile(Path(), bad);
    try {
      StudyStore store(Path(), Database::Mode::kRead);
      (void)MakeStudyReport(store);
      store.ForEachAnswer(true, [&](const StoredAnswer& answer) { (void)store.Trace(answer.key); });
    } catch (const std::runtime_error&) {
      ++num_refused;
    }
  }
  EXPECT_GT(num_refused, 0);
}

TEST_F(StudyTest, KeepsTraces) {
  plan_.keep_traces = true;
  StudyStore store(Path(), Database::Mode::kWrite);
  Study study(store, plan_, {FixedArm("a", 0.9)});
  MadeUpAnswers source(plan_.problems);
  study.Answer(source, {0}, [] { return true; });
  const std::optional<TokenTrace> trace = store.Trace({.arm = 1, .problem = 5, .sample = 1});
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->tokens, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(trace->entropies, (std::vector<float>{0.5f, 0.25f}));
  EXPECT_EQ(trace->temperatures, (std::vector<float>{0.1f, 1.0f}));
  EXPECT_FALSE(store.Trace({.arm = 2, .problem = 5, .sample = 1}).has_value());
}

TEST_F(StudyTest, ReportsWhatEveryArmHasAnswered) {
  StudyStore store(Path(), Database::Mode::kWrite);
  ResolvedArm policy = FixedArm("policy", 0.9);
  policy.arm.is_fixed = false;
  Study study(store, plan_, {FixedArm("low", 0.2), FixedArm("high", 0.7), policy});
  MadeUpAnswers source(plan_.problems);
  EXPECT_THROW(MakeStudyReport(store), Error);
  study.Answer(source, {0, 1, 2}, [&] { return source.num_answered < 60; });
  const StudyReport partial = MakeStudyReport(store);
  EXPECT_GE(partial.num_problems, 9);
  EXPECT_LT(partial.num_problems, 11);
  study.Answer(source, {0, 1, 2}, [] { return true; });

  const StudyReport report = MakeStudyReport(store);
  EXPECT_EQ(report.num_problems, 20);
  ASSERT_EQ(report.arms.size(), 3u);
  // The same draws at a higher temperature: what the lower one got right, the higher one did too.
  for (size_t arm = 0; arm < 3; ++arm) {
    int64_t right = 0;
    for (const StudyProblem& problem : plan_.problems) {
      for (int64_t sample = 0; sample < 2; ++sample) {
        right += DrawSeed(0, problem.id, sample) % 1000 < std::vector<uint64_t>{200, 700, 900}[arm] ? 1 : 0;
      }
    }
    EXPECT_DOUBLE_EQ(report.arms[arm].accuracy.mean, static_cast<double>(right) / 40) << arm;
    EXPECT_EQ(study.tallies()[arm].num_right, right);
  }
  EXPECT_EQ(report.arms[0].votes.size(), 2u);
  EXPECT_DOUBLE_EQ(report.arms[0].votes[0].pass.mean, report.arms[0].accuracy.mean);
  ASSERT_EQ(report.comparisons.size(),
            3u);  // two against the first, the policy against the best of fixed ones
  EXPECT_EQ(report.comparisons[2].arm, 2u);
  EXPECT_EQ(report.comparisons[2].baseline, 1u);
  EXPECT_EQ(report.comparisons[0].only_baseline, 0);
  EXPECT_GE(report.comparisons[0].p_value_holm, report.comparisons[0].p_value);
  EXPECT_THAT(StudyReportText(report), HasSubstr("policy - high"));
  EXPECT_EQ(StudyReportJson(report)["arms"][1]["identity"]["T"], 0.7);
}

TEST(Forecast, SaysHowManyProblemsAreNeeded) {
  EXPECT_THAT(ForecastText(9604, 0), HasSubstr("within 1.0 points at worst"));
  EXPECT_THAT(ForecastText(100, 0.01), HasSubstr("9604 problems at worst"));
}

}  // namespace
}  // namespace fourstep
