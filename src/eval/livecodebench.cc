// livecodebench: problems of programming contests, solved in Python and judged by running hidden tests. Files
// are those of its code generation sets (test.jsonl); prompts are its own for chat models.

#include <fmt/format.h>

#include <unordered_set>

#include "eval/answer.h"
#include "eval/code_grader.h"
#include "eval/published_file.h"
#include "eval/task.h"

namespace fourstep {
namespace {

constexpr std::string_view kFence = "```";
constexpr std::string_view kSystem =
    "You are an expert Python programmer. You will be given a question (problem specification) and will "
    "generate a correct Python program that matches the specification and passes all tests.";
constexpr std::string_view kWithStarter =
    "You will use the following starter code to write the solution to the problem and enclose your code "
    "within "
    "delimiters.";
constexpr std::string_view kWithoutStarter =
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on "
    "the "
    "sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program "
    "runs, "
    "it reads the inputs, runs the algorithm and writes output to STDOUT.";

std::string Prompt(const std::string& question, const std::string& starter) {
  return fmt::format(
      "{}\n\n### Question:\n{}\n\n### Format: {}\n```python\n{}\n```\n\n### Answer: (use the "
      "provided format with backticks)\n\n",
      kSystem, question, starter.empty() ? kWithoutStarter : kWithStarter,
      starter.empty() ? "# YOUR CODE HERE" : starter);
}

// An object or list, or a text that holds one.
Json Unwrapped(const PublishedRow& row, const char* name) {
  const Json& value = row.Get({name});
  return value.is_string() ? ParseJson(value.get<std::string>(), fmt::format("{}: {}", row.where(), name))
                           : value;
}

std::string AnswerOf(const PublishedRow& row) {
  Json answer = {{"function", nullptr}, {"tests", Unwrapped(row, "public_test_cases")}};
  if (row.Has({"metadata"})) {
    const Json metadata = Unwrapped(row, "metadata");
    if (metadata.is_object() && metadata.contains("func_name")) answer["function"] = metadata["func_name"];
  }
  if (row.Has({"private_test_cases"})) answer["packed"] = row.Text({"private_test_cases"});
  return DumpJson(answer);
}

class LiveCodeBench final : public PublishedTask {
 public:
  std::string_view name() const override { return "livecodebench"; }
  std::string_view summary() const override {
    return "contest problems solved in Python, run on hidden tests";
  }

  void CheckGrader() const override { CheckCodeGrader(); }

  std::vector<PublishedProblem> Read(const std::filesystem::path& path, uint64_t) const override {
    std::vector<PublishedProblem> problems;
    std::unordered_set<std::string> ids;
    ReadPublishedFile(path, [&](const PublishedRow& row, int64_t number) {
      const std::string id = row.IdOr(fmt::format("{}-{}", name(), number));
      if (!ids.insert(id).second) throw row.Fault("the id stands twice");
      const std::string starter = row.Has({"starter_code"}) ? row.Text({"starter_code"}) : "";
      problems.push_back({id, Prompt(row.Text({"question_content"}), starter), AnswerOf(row)});
    });
    return problems;
  }

  // What stands between the last two lines that begin a fence, as livecodebench takes it.
  std::optional<std::string> Extract(std::string_view reply) const override {
    const std::string_view text = AfterThinking(reply);
    const size_t close = text.rfind(kFence);
    if (close == text.npos || close == 0) return {};
    const size_t open = text.rfind(kFence, close - 1);
    if (open == text.npos) return {};
    const size_t begin = text.find('\n', open);
    const size_t end = text.rfind('\n', close);
    if (begin == text.npos || end == text.npos || begin >= end) return {};
    return std::string(text.substr(begin + 1, end - begin));
  }

  bool IsRight(std::string_view, std::string_view answer, std::string_view extracted) const override {
    return PassesTests(extracted, ParseCodeTests(answer, "answer"));
  }
};

}  // namespace

const PublishedTask& LiveCodeBenchTask() {
  static const LiveCodeBench kTask;
  return kTask;
}

}  // namespace fourstep
