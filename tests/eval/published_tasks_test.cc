// Prompts, files and extraction of the published tasks; livecodebench has a test of its own.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "base/error.h"
#include "eval/task.h"

namespace fourstep {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class File {
 public:
  explicit File(const std::string& contents) { std::ofstream(path_) << contents; }
  ~File() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_ =
      std::filesystem::path(testing::TempDir()) / fmt::format("published_{}", static_cast<const void*>(this));
};

std::vector<PublishedProblem> Read(const PublishedTask& task, const std::string& contents,
                                   uint64_t seed = 0) {
  const File file(contents);
  return task.Read(file.path(), seed);
}

std::optional<bool> Judge(const Task& task, const std::string& answer, const std::string& reply) {
  return GradeReply(task, "", answer, reply).correct;
}

TEST(Aime, ReadsIntegersOnly) {
  const auto problems =
      Read(Aime120Task(), R"({"id":"aime-2024-I-01","problem":" Find $x$. ","answer":"025"})");
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].id, "aime-2024-I-01");
  EXPECT_EQ(problems[0].text,
            "Find $x$.\n\nPlease reason step by step, and put your final answer within \\boxed{}.");
  EXPECT_EQ(Judge(Aime120Task(), problems[0].answer, "<think>\\boxed{24}</think> It is $\\boxed{25}$."),
            true);
  EXPECT_EQ(Read(Aime120Task(), R"({"problem":"p","answer":7})")[0].id, "aime120-1");
  for (const char* answer : {"\"1000\"", "-1", "\"1/2\"", "\"\"", "null", "1.5"}) {
    EXPECT_THROW(Read(Aime120Task(), fmt::format(R"({{"problem":"p","answer":{}}})", answer)), Error)
        << answer;
  }
}

TEST(Aime2025, TakesItsOwnOutOfTheFourYears) {
  constexpr char kLines[] = R"({"id":"aime-2024-I-01","problem":"p","answer":"1"}
{"id":"aime-2025-I-01","problem":"q","answer":"2"})";
  const auto problems = Read(Aime2025Task(), kLines);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].answer, "2");
  EXPECT_EQ(Read(Aime120Task(), kLines).size(), 2u);
  EXPECT_THROW(Read(Aime2025Task(), R"({"id":"aime-2024-I-01","problem":"p","answer":"1"})"), Error);
}

TEST(MathTasks, RefuseIdsThatStandTwice) {
  constexpr char kLines[] =
      R"([{"id":"a","problem":"p","answer":"1"},{"id":"a","problem":"q","answer":"2"}])";
  EXPECT_THROW(Read(Math500Task(), kLines), Error);
  EXPECT_THROW(Read(Math500Task(), R"([{"problem":" ","answer":"1"}])"), Error);
}

TEST(MathTasks, TellNoAnswerFromAWrongOne) {
  for (const Task* task : {&Aime120Task(), &Math500Task(), &Gsm8kTask()}) {
    EXPECT_EQ(Judge(*task, "18", "It is 18."), std::nullopt);
    EXPECT_EQ(Judge(*task, "18", "\\boxed{18"), std::nullopt);
    EXPECT_EQ(Judge(*task, "18", "<think>\\boxed{18}</think> Well."), std::nullopt);
    EXPECT_EQ(Judge(*task, "18", "\\boxed{19}"), false);
    EXPECT_EQ(Judge(*task, "18", "\\boxed{}"), false);
    EXPECT_EQ(Judge(*task, "18", "\\boxed{1} no: \\boxed{\\frac{36}{2}}"), true);
  }
}

TEST(Gsm8k, ReadsTheMarkOfItsSolutions) {
  const auto problems =
      Read(Gsm8kTask(), R"({"question":"How many?","answer":"He has 9*2=<<9*2=18>>18.\n#### 1,800"})");
  EXPECT_EQ(problems[0].answer, "1,800");
  EXPECT_EQ(Judge(Gsm8kTask(), "1,800", "So\n#### 1800 dollars\n"), true);
  EXPECT_EQ(Judge(Gsm8kTask(), "1,800", "#### 18\n"), false);
  EXPECT_EQ(Judge(Gsm8kTask(), "1,800", "####\n"), std::nullopt);
  EXPECT_EQ(Judge(Gsm8kTask(), "1,800", "#### 7\n\\boxed{\\$1800}"), true);
}

const char kGpqa[] =
    "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\n"
    "rec1,\"What, then?\",right ,wrong 1,wrong 2,wrong 3\n"
    "rec2,Why?,right,wrong 1,wrong 2,wrong 3\n";

TEST(GpqaDiamond, PutsTheChoicesInAnOrderThatTheSeedGives) {
  std::map<std::string, int> letters;
  std::set<std::string> texts;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const auto problems = Read(GpqaDiamondTask(), kGpqa, seed);
    ASSERT_EQ(problems.size(), 2u);
    EXPECT_EQ(problems[0].id, "rec1");
    EXPECT_THAT(problems[0].text, HasSubstr("\n\nWhat, then?\n\nA) "));
    EXPECT_THAT(problems[0].text, HasSubstr("\n" + problems[0].answer + ") right"));
    EXPECT_EQ(problems[0].text, Read(GpqaDiamondTask(), kGpqa, seed)[0].text);
    ++letters[problems[0].answer];
    texts.insert(problems[0].text);
  }
  ASSERT_EQ(letters.size(), 4u);
  for (const auto& [letter, count] : letters) EXPECT_NEAR(count, 50, 25) << letter;
  EXPECT_EQ(texts.size(), 24u);
}

TEST(GpqaDiamond, KeepsAnOrderThatIsThere) {
  const auto problems = Read(GpqaDiamondTask(), R"([{"question":"q","choices":["w","x","y","z"],"answer":"C"},
                                                   {"question":"q","options":["w","x","y","z"],"answer":1}])");
  EXPECT_THAT(problems[0].text, EndsWith("A) w\nB) x\nC) y\nD) z"));
  EXPECT_EQ(problems[0].answer, "C");
  EXPECT_EQ(problems[1].answer, "B");
  for (const char* row : {R"([{"question":"q","choices":["w"],"answer":"A"}])",
                          R"([{"question":"q","choices":["w","x","y",7],"answer":"A"}])",
                          R"([{"question":"q","choices":["w","x","y","z"],"answer":"E"}])",
                          R"([{"question":"q","choices":["w","x","y","z"],"answer":4}])"}) {
    EXPECT_THROW(Read(GpqaDiamondTask(), row), Error) << row;
  }
}

TEST(GpqaDiamond, FindsTheLetter) {
  for (const char* reply :
       {"Answer: C", "so.\nANSWER: C\n", "**Answer:** C", "**Answer: C**", "Answer: $C$", "Answer: (C)",
        "answer : C.", "\"answer\": \"C\"", "Answer: \\text{C}", "Answer: \\boxed{C}", "\\boxed{C}",
        "$\\boxed{\\text{C}}$", "\\boxed{(C)}", "\\boxed{C) 7 eV}", "Answer: A\nNo.\nAnswer: C",
        "<think>Answer: A</think>\nAnswer: C", "Answer: C\n\\boxed{A}", "Final Answer: C",
        "Answer: C) because\nthe answer: is clear"}) {
    EXPECT_EQ(GpqaDiamondTask().Extract(reply), "C") << reply;
    EXPECT_EQ(Judge(GpqaDiamondTask(), "C", reply), true) << reply;
    EXPECT_EQ(Judge(GpqaDiamondTask(), "B", reply), false) << reply;
  }
  for (const char* reply :
       {"", "C", "The answer is C", "Answer: E", "Answer: Carbon", "Answer:", "\\boxed{E}", "\\boxed{}",
        "<think>Answer: C</think>", "Answer:\nC", "\\boxed{Carbon}"}) {
    EXPECT_EQ(GpqaDiamondTask().Extract(reply), std::nullopt) << reply;
  }
  std::string hostile;
  while (hostile.size() < 5'000'000) hostile += "answer:";
  EXPECT_EQ(GpqaDiamondTask().Extract(hostile), std::nullopt);
  EXPECT_EQ(GpqaDiamondTask().Extract("answer:" + std::string(5'000'000, ' ') + "C"), std::nullopt);
}

TEST(PublishedTasks, ReadTheFilesThatTheyAreNamedAfter) {
  const char* shared = std::getenv("FOURSTEP_SHARED_DIR");
  if (shared == nullptr) GTEST_SKIP() << "FOURSTEP_SHARED_DIR is not set";
  const std::filesystem::path folder = std::filesystem::path(shared) / "data/eval";
  const struct {
    const PublishedTask& task;
    const char* file;
    size_t num_problems;
  } files[] = {{Aime120Task(), "aime120.jsonl", 120},
               {Aime2025Task(), "aime120.jsonl", 30},
               {Math500Task(), "math500.jsonl", 500},
               {Gsm8kTask(), "gsm8k_test.jsonl", 1319}};
  for (const auto& [task, file, num_problems] : files) {
    const std::vector<PublishedProblem> problems = task.Read(folder / file, 0);
    EXPECT_EQ(problems.size(), num_problems);
    for (const PublishedProblem& problem : problems) {
      const std::string reply = "<think>\nHm.\n</think>\n\nThe answer is $\\boxed{" + problem.answer + "}$.";
      const Verdict verdict = GradeReply(task, problem.text, problem.answer, reply);
      EXPECT_EQ(verdict.correct, true) << problem.id;
      EXPECT_EQ(verdict.extracted, problem.answer);
      EXPECT_EQ(GradeReply(task, problem.text, problem.answer, "I do not know.").correct, std::nullopt);
    }
  }
}

}  // namespace
}  // namespace fourstep
