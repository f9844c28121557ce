// Made-up problems in the form of livecodebench, solved rightly, wrongly and maliciously.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "eval/sandbox.h"
#include "eval/task.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

const Task& Bench() {
  return LiveCodeBenchTask();
}

std::string Fenced(const std::string& program) {
  return "<think>\n```python\nprint('draft')\n```\n</think>\nHere it is:\n```python\n" + program +
         "\n```\nDone.";
}

// Sums of the numbers on the second line.
const char kSums[] = R"({"function": null, "tests": [{"input": "3\n1 2 3\n", "output": "6\n"},
                         {"input": "2\n-1 1\n", "output": "0\n"}]})";
const char kCalls[] = R"({"function": "twice", "tests": [{"input": "[1, 2]\n3", "output": "[3, 6]"}]})";

class LiveCodeBench : public testing::Test {
 protected:
  void SetUp() override {
    try {
      Bench().CheckGrader();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  static std::optional<bool> Judge(const char* tests, const std::string& program) {
    return GradeReply(Bench(), "", tests, Fenced(program)).correct;
  }
};

TEST_F(LiveCodeBench, RunsProgramsOnTheirInput) {
  EXPECT_EQ(Judge(kSums, "n = int(input())\nprint(sum(map(int, input().split())))"), true);
  EXPECT_EQ(Judge(kSums, "n = int(input())\nprint(float(sum(map(int, input().split()))))"), true);
  EXPECT_EQ(
      Judge(kSums, "if __name__ == '__main__':\n  print(sum(int(x) for x in sys.stdin.read().split()[1:]))"),
      true);
  EXPECT_EQ(Judge(kSums, "print(6)"), false);
  EXPECT_EQ(Judge(kSums, "print(6"), false);
  EXPECT_EQ(Judge(kSums, "input()\nprint(sum(map(int, input().split())))\nraise SystemExit(1)"), false);
  EXPECT_EQ(Judge(kSums, ""), false);
}

TEST_F(LiveCodeBench, CallsFunctions) {
  EXPECT_EQ(Judge(kCalls,
                  "class Solution:\n  def twice(self, a: List[int], k: int):\n    print('noise')\n"
                  "    return [k * x for x in a]"),
            true);
  EXPECT_EQ(Judge(kCalls, "def twice(a, k): return tuple(k * x for x in a)"), true);
  EXPECT_EQ(Judge(kCalls, "def twice(a, k): return a"), false);
  EXPECT_EQ(Judge(kCalls, "def thrice(a, k): return [3, 6]"), false);
  EXPECT_EQ(Judge(kCalls, "print('[3, 6]')"), false);
  EXPECT_EQ(Judge(kCalls, "def twice(a, k): return set(a)"), false);
}

// The wanted outputs are not in the sandbox, so that no program can find them there.
TEST_F(LiveCodeBench, DoesNotHandOutTheAnswers) {
  constexpr char kSecret[] =
      R"({"function": null, "tests": [{"input": "", "output": "a text that is nowhere"}]})";
  EXPECT_EQ(Judge(kSecret,
                  "import os\n"
                  "found = ''\n"
                  "for root in ['/', '/tmp', '/proc/self', '/proc/1']:\n"
                  "  for name in os.listdir(root):\n"
                  "    try: text = open(os.path.join(root, name), errors='replace').read(1000000)\n"
                  "    except OSError: continue\n"
                  "    if 'text that is ' + 'nowhere' in text: found = 'a text that is ' + 'no' + 'where'\n"
                  "print(found)"),
            false);
}

TEST(LiveCodeBenchTask, TakesTheLastFence) {
  const auto code_of = [](std::string_view reply) { return Bench().Extract(reply); };
  EXPECT_EQ(code_of(Fenced("print(1)")), "print(1)\n");
  EXPECT_EQ(code_of("```\na\n```\n```py\nb\nc\n```"), "b\nc\n");
  EXPECT_EQ(code_of("```python\n\n```"), "\n");
  for (const char* none : {"", "print(1)", "```python\nprint(1)", "```", "``````", "```\n```",
                           "```python\nprint(1)\n```\n</think>\nno code"}) {
    EXPECT_EQ(code_of(none), std::nullopt) << none;
    EXPECT_EQ(GradeReply(Bench(), "", kSums, none).correct, std::nullopt) << none;
  }
}

TEST(LiveCodeBenchTask, ReadsItsFiles) {
  const auto path = std::filesystem::path(testing::TempDir()) / "livecodebench.jsonl";
  const Json row = {{"question_title", "Sums"},
                    {"question_content", "Add them."},
                    {"question_id", "abc1"},
                    {"starter_code", ""},
                    {"public_test_cases", R"([{"input": "1", "output": "1", "testtype": "stdin"}])"},
                    {"private_test_cases", R"([{"input": "2", "output": "2", "testtype": "stdin"}])"},
                    {"metadata", "{}"}};
  Json calls = row;
  calls["question_id"] = "abc2";
  calls["starter_code"] = "class Solution:\n    def twice(self, a):\n        ";
  calls["metadata"] = R"({"func_name": "twice"})";
  std::ofstream(path) << row << "\n" << calls << "\n";
  const std::vector<PublishedProblem> problems = LiveCodeBenchTask().Read(path, 0);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].id, "abc1");
  EXPECT_THAT(problems[0].text,
              HasSubstr("### Question:\nAdd them.\n\n### Format: Read the inputs from stdin"));
  EXPECT_THAT(problems[0].text, HasSubstr("```python\n# YOUR CODE HERE\n```"));
  EXPECT_THAT(problems[1].text, HasSubstr("```python\nclass Solution:\n    def twice(self, a):\n"));
  EXPECT_THAT(problems[1].answer, HasSubstr(R"("function":"twice")"));
  std::ofstream(path) << row << "\n" << row << "\n";
  EXPECT_THROW(LiveCodeBenchTask().Read(path, 0), Error);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace fourstep
