#include "eval/math_task.h"

#include <unordered_set>

#include "eval/answer.h"
#include "eval/math_equality.h"

namespace fourstep {
namespace {

// The directive that DeepSeek-R1 and Qwen3 publish for mathematics.
constexpr std::string_view kDirective =
    "\n\nPlease reason step by step, and put your final answer within \\boxed{}.";

}  // namespace

std::vector<PublishedProblem> MathTask::Read(const std::filesystem::path& path, uint64_t) const {
  std::vector<PublishedProblem> problems;
  std::unordered_set<std::string> ids;
  ReadPublishedFile(path, [&](const PublishedRow& row, int64_t number) {
    PublishedProblem problem;
    problem.id = row.IdOr(fmt::format("{}-{}", name(), number));
    if (!Holds(problem.id)) return;
    if (!ids.insert(problem.id).second) throw row.Fault("the id stands twice");
    const std::string text = row.Text({"problem", "question", "Problem", "Question"});
    if (TrimBlanks(text).empty()) throw row.Fault("the problem is empty");
    problem.text = std::string(TrimBlanks(text)) + std::string(kDirective);
    problem.answer = AnswerOf(row);
    problems.push_back(std::move(problem));
  });
  if (problems.empty()) throw Errorf(Printable(path.string(), 300), "has no problem of {}", name());
  return problems;
}

bool MathTask::IsRight(std::string_view problem, std::string_view answer, std::string_view extracted) const {
  return SaysTheSame(answer, extracted, problem);
}

std::string MathTask::AnswerOf(const PublishedRow& row) const {
  const std::string answer = row.Text({"answer", "Answer", "expected_answer"});
  if (TrimBlanks(answer).empty()) throw row.Fault("the answer is empty");
  return std::string(TrimBlanks(answer));
}

}  // namespace fourstep
