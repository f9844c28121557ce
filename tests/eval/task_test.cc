// Properties of every task over many seeds and the corners of its knobs, checked against tests/eval/oracle.h.
#include "eval/task.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/oracle.h"
#include "eval/problem_stream.h"

namespace fourstep {
namespace {

struct Sample {
  Problem problem;
  std::string trace;
};

// Problems of every corner of the knobs' allowed ranges, and of the middle.
std::vector<Sample> SamplesOf(const GeneratedTask& task, int num_each, uint64_t seed) {
  const auto knobs = task.knobs();
  std::vector<Sample> samples;
  const auto Add = [&](const std::vector<int>& values, uint64_t stream) {
    PhiloxStream random(seed, stream);
    Writer writer(random);
    Sample sample{task.Generate(values, writer), ""};
    sample.trace = writer.text();
    samples.push_back(std::move(sample));
  };
  uint64_t stream = 0;
  for (size_t corner = 0; corner < size_t{1} << knobs.size(); ++corner) {
    std::vector<int> values;
    for (size_t k = 0; k < knobs.size(); ++k) {
      values.push_back(corner >> k & 1 ? knobs[k].allowed.high : knobs[k].allowed.low);
    }
    for (int i = 0; i < num_each; ++i) Add(values, stream++);
  }
  for (int i = 0; i < 8 * num_each; ++i) {
    PhiloxStream random(seed + 1, stream);
    std::vector<int> values;
    for (const Knob& knob : knobs) values.push_back(random.Between(knob.allowed.low, knob.allowed.high));
    Add(values, stream++);
  }
  return samples;
}

class EveryTask : public testing::TestWithParam<const GeneratedTask*> {
 protected:
  const GeneratedTask& task() const { return *GetParam(); }
  std::string name() const { return std::string(task().name()); }
  bool is_countdown() const { return task().name() == "countdown"; }
  int num_each() const { return is_countdown() ? 60 : task().knobs().size() > 3 ? 10 : 60; }
};

INSTANTIATE_TEST_SUITE_P(Tasks, EveryTask,
                         testing::ValuesIn(GeneratedTasks().begin(), GeneratedTasks().end()),
                         [](const auto& task) { return std::string(task.param->name()); });

TEST_P(EveryTask, AnswersWhatAnIndependentSolverAnswers) {
  for (const Sample& sample : SamplesOf(task(), num_each(), 1)) {
    const Problem& problem = sample.problem;
    if (!is_countdown()) {
      EXPECT_EQ(oracle::Solve(task().name(), problem.text), std::stoll(problem.answer)) << problem.text;
      continue;
    }
    oracle::Countdown read = oracle::ReadCountdown(problem.text);
    EXPECT_TRUE(oracle::Reachable(read.numbers, read.target)) << problem.text;
    EXPECT_GE(read.target, 10);
    EXPECT_LE(read.target, 99);
    auto evaluation = oracle::Evaluate(problem.answer);
    ASSERT_TRUE(evaluation) << problem.answer;
    EXPECT_TRUE(evaluation->value.Is(read.target)) << problem.text << " " << problem.answer;
    EXPECT_TRUE(evaluation->plain) << problem.answer;
    std::sort(read.numbers.begin(), read.numbers.end());
    std::sort(evaluation->numbers.begin(), evaluation->numbers.end());
    EXPECT_EQ(evaluation->numbers, read.numbers) << problem.text << " " << problem.answer;
  }
}

size_t Count(std::string_view text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST_P(EveryTask, TracesAreGradedRightAndHoldTheirForm) {
  for (const auto& [problem, trace] : SamplesOf(task(), num_each(), 2)) {
    const Verdict verdict = GradeReply(task(), problem.text, problem.answer, trace);
    EXPECT_EQ(verdict.correct, true) << trace;
    EXPECT_EQ(verdict.extracted, problem.answer);
    EXPECT_TRUE(trace.starts_with("<think>\n")) << trace;
    EXPECT_TRUE(trace.ends_with(" \\boxed{" + problem.answer + "}.")) << trace;
    EXPECT_EQ(Count(trace, "\n\n</think>\n\n"), 1u) << trace;
    EXPECT_EQ(Count(trace, "think>"), 2u) << trace;
    EXPECT_EQ(Count(trace, "\\boxed{"), 1u) << trace;
    EXPECT_EQ(Count(trace, "\n\n\n"), 0u) << trace;
    EXPECT_EQ(Count(trace, "  "), 0u) << trace;
    EXPECT_EQ(trace.find_first_of("[]|~#" + std::string(1, '\0')),
              name() == "ledger" ? trace.find('#') : trace.npos)
        << "a pattern's sign was left: " << trace;
  }
}

// Every "a=b" that a trace states is true, so a model that learns it learns arithmetic.
TEST_P(EveryTask, TracesStateOnlyTrueEquations) {
  int num_checked = 0;
  const std::vector<Sample> samples = SamplesOf(task(), num_each(), 3);
  for (const auto& [problem, trace] : samples) {
    const int64_t x = name() == "equation" ? std::stoll(problem.answer) : 0;
    const auto wrong = oracle::FalseEquations(trace, x, num_checked);
    EXPECT_TRUE(wrong.empty()) << wrong[0] << " in: " << trace;
  }
  EXPECT_GT(num_checked, static_cast<int>(samples.size()) / 2) << "the test found too little to check";
}

std::string Boxed(std::string_view inside) {
  return fmt::format("<think>\nHm.\n\n</think>\n\nThe answer is \\boxed{{{}}}.", inside);
}

// One symbol dropped, doubled, replaced or changed with its neighbour, everywhere.
std::vector<std::string> Misspellings(const std::string& answer) {
  std::vector<std::string> all;
  for (size_t i = 0; i < answer.size(); ++i) {
    std::string dropped = answer, changed = answer, doubled = answer;
    all.push_back(dropped.erase(i, 1));
    all.push_back(doubled.insert(i, 1, answer[i]));
    for (const char c : std::string_view("0123456789+-*/()x.")) {
      changed[i] = c;
      if (c != answer[i]) all.push_back(changed);
    }
    if (i > 0) {
      changed = answer;
      std::swap(changed[i - 1], changed[i]);
      if (changed != answer) all.push_back(changed);
    }
  }
  return all;
}

// What the independent evaluator says of a boxed text without blanks.
bool OracleAccepts(const GeneratedTask& task, const Problem& problem, const std::string& boxed) {
  if (task.name() != "countdown") {
    const bool digits =
        boxed.find_first_not_of("0123456789", boxed.find_first_of("+-") == 0 ? 1 : 0) == boxed.npos;
    if (!digits || boxed.find_first_of("0123456789") == boxed.npos) return false;
    return std::stoll(boxed) == oracle::Solve(task.name(), problem.text);
  }
  oracle::Countdown read = oracle::ReadCountdown(problem.text);
  auto evaluation = oracle::Evaluate(boxed);
  if (!evaluation || !evaluation->value.Is(read.target)) return false;
  if (boxed.starts_with('-') || boxed.starts_with('+') || Count(boxed, "(-") + Count(boxed, "(+") > 0 ||
      Count(boxed, "x") > 0) {
    return false;  // no signs before a number: subtraction is an operation between two
  }
  for (size_t i = 1; i < boxed.size(); ++i) {  // nor products without a sign
    if (boxed[i] == '(' && (std::isdigit(boxed[i - 1]) || boxed[i - 1] == ')')) return false;
  }
  std::sort(read.numbers.begin(), read.numbers.end());
  std::sort(evaluation->numbers.begin(), evaluation->numbers.end());
  return evaluation->numbers == read.numbers;
}

// Every small slip of an answer's spelling: right exactly where an independent evaluation finds it still
// right (a*1 and a/1, 12 and 012).
TEST_P(EveryTask, JudgesEverySlipOfAnAnswer) {
  int num_right = 0, num_wrong = 0;
  for (const auto& [problem, trace] : SamplesOf(task(), is_countdown() ? 8 : num_each() / 5, 4)) {
    for (const std::string& slip : Misspellings(problem.answer)) {
      const bool right = OracleAccepts(task(), problem, slip);
      EXPECT_EQ(GradeReply(task(), problem.text, problem.answer, Boxed(slip)).correct, right)
          << slip << " for " << problem.answer << " of " << problem.text;
      ++(right ? num_right : num_wrong);
    }
  }
  EXPECT_GT(num_wrong, 500);
  EXPECT_LT(num_right, num_wrong / 4);
}

TEST_P(EveryTask, AcceptsEquivalentSpellings) {
  for (const auto& [problem, trace] : SamplesOf(task(), 4, 5)) {
    std::vector<std::string> same = {problem.answer, " " + problem.answer + "\n"};
    if (is_countdown()) {
      const auto With = [&](std::string_view sign, std::string_view spelling) {
        std::string text = problem.answer;
        for (size_t at = text.find(sign); at != text.npos; at = text.find(sign, at + spelling.size())) {
          text.replace(at, sign.size(), spelling);
        }
        return text;
      };
      std::string zeros = problem.answer;
      zeros.insert(zeros.find_first_of("0123456789"), "00");
      same.insert(same.end(), {"(" + problem.answer + ")", zeros, With("*", "\\times "), With("*", "\\cdot "),
                               With("*", "\\times"), With("*", "×"), With("/", "\\div "), With("/", "÷"),
                               With("-", "−"), With("+", " + "), With("(", "( ")});
    } else if (problem.answer[0] == '-') {
      same.insert(same.end(), {"-0" + problem.answer.substr(1), "−" + problem.answer.substr(1)});
    } else {
      same.insert(same.end(), {"+" + problem.answer, "00" + problem.answer});
    }
    if (name() == "equation") {
      for (const char* prefix : {"x=", "x = ", "x =", " x= "}) same.push_back(prefix + problem.answer);
    }
    for (const std::string& spelling : same) {
      EXPECT_EQ(GradeReply(task(), problem.text, problem.answer, Boxed(spelling)).correct, true)
          << spelling << " for " << problem.text;
    }
    const std::string later = "\\boxed{0} no, \\boxed{wait \\boxed{" + problem.answer + "} and \\boxed{";
    EXPECT_EQ(GradeReply(task(), problem.text, problem.answer, later).correct, true);
  }
}

TEST_P(EveryTask, RefusesOtherAnswers) {
  for (const auto& [problem, trace] : SamplesOf(task(), 4, 6)) {
    std::vector<std::string> others = {"",
                                       " ",
                                       "x",
                                       "?",
                                       "\\text{none}",
                                       "{" + problem.answer + "}",
                                       problem.answer + "=" + problem.answer,
                                       problem.answer + ",",
                                       problem.answer + " or 1",
                                       "$" + problem.answer + "$",
                                       std::string(100'000, '9'),
                                       std::string(100'000, '('),
                                       "\xff\xfe"};
    if (is_countdown()) {
      const oracle::Countdown read = oracle::ReadCountdown(problem.text);
      const std::string used = std::to_string(read.numbers[0]);
      for (const char* format :
           {"{0}+{1}-{1}", "({0})*{1}/{1}", "({0})/1", "({0})*1", "{0}+0", "0+{0}", "{0}=1"}) {
        others.push_back(fmt::format(fmt::runtime(format), problem.answer, used));
      }
      others.push_back(std::to_string(read.target));
      others.push_back("-(0-(" + problem.answer + "))");
    } else {
      others.insert(others.end(), {problem.answer + ".0", problem.answer + "/1", problem.answer + "+0",
                                   "(" + problem.answer + ")",
                                   std::to_string(std::stoll(problem.answer) + 100), "x==" + problem.answer,
                                   "x" + problem.answer, "y=" + problem.answer, problem.answer + "e0"});
      if (problem.answer != "0") {
        others.push_back(problem.answer[0] == '-' ? problem.answer.substr(1) : "-" + problem.answer);
        others.push_back("-" + problem.answer + "0");
      }
    }
    for (const std::string& other : others) {
      EXPECT_EQ(GradeReply(task(), problem.text, problem.answer, "\\boxed{" + other + "}").correct, false)
          << other.substr(0, 100) << " for " << problem.answer << " of " << problem.text;
    }
  }
}

TEST_P(EveryTask, FindsNoAnswerWithoutABox) {
  for (const auto& [problem, trace] : SamplesOf(task(), 1, 7)) {
    for (const std::string& reply :
         {std::string(), problem.answer, "The answer is " + problem.answer + ".", "\\boxed{" + problem.answer,
          trace.substr(0, trace.size() - 2), trace + "</think>"}) {
      const Verdict verdict = GradeReply(task(), problem.text, problem.answer, reply);
      EXPECT_EQ(verdict.correct, std::nullopt) << reply;
      EXPECT_EQ(verdict.extracted, "");
    }
  }
}

// The recorded answer or, for countdown, the problem decides; another problem's does not pass.
TEST_P(EveryTask, JudgesByTheProblem) {
  for (const auto& [problem, trace] : SamplesOf(task(), 4, 8)) {
    if (is_countdown()) {
      const int64_t target = oracle::ReadCountdown(problem.text).target;
      const size_t at = problem.text.rfind("to make ") + 8;
      for (const int64_t other : {target - 1, target + 1, -target, int64_t{0}}) {
        const std::string text = problem.text.substr(0, at) + std::to_string(other) + ".";
        EXPECT_EQ(GradeReply(task(), text, problem.answer, trace).correct, other == -target) << text;
      }
      EXPECT_EQ(GradeReply(task(), problem.text, "another way", trace).correct, true);
    } else {
      const std::string other = std::to_string(std::stoll(problem.answer) + 1);
      EXPECT_EQ(GradeReply(task(), problem.text, other, trace).correct, false);
    }
    for (const char* broken : {"", "1", "make", "\xff"}) {
      EXPECT_NO_THROW(GradeReply(task(), broken, broken, trace));
    }
    EXPECT_EQ(GradeReply(task(), "", "", trace).correct, false);
  }
}

TEST(FindTask, ListsTheNamesWhereThereIsNone) {
  for (const Task* task : AllTasks()) EXPECT_EQ(&FindTask(task->name()), task);
  for (const GeneratedTask* task : GeneratedTasks()) EXPECT_EQ(&FindGeneratedTask(task->name()), task);
  try {
    FindTask("sudoku\n");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 R"(task: "sudoku\x0a" is not one of countdown, dag, ledger, equation, arithmetic, aime120, )"
                 "aime2025, math500, gsm8k, gpqa-diamond, livecodebench");
  }
}

}  // namespace
}  // namespace fourstep
