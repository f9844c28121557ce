// Feeds problem, answer and reply to every task's grader, and the reply's parts to the parsers below them.
// The input is the three texts, parted by bytes 0x1e.
//
// Beyond not crashing: a verdict has an answer exactly where there is a box; a right answer stays right with
// blanks around it and the reasoning before it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "eval/answer.h"
#include "eval/expression.h"
#include "eval/task.h"

namespace {

using fourstep::GeneratedTasks;
using fourstep::GradeReply;
using fourstep::LastBoxed;
using fourstep::ParseExpression;
using fourstep::PublishedTask;
using fourstep::PublishedTasks;
using fourstep::Task;
using fourstep::Verdict;

std::string_view TakePart(std::string_view& rest) {
  const size_t end = std::min(rest.find('\x1e'), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

void CheckExpression(std::string_view text) {
  const auto parsed = ParseExpression(text);
  if (!parsed) return;
  FOURSTEP_CHECK(parsed->value.denominator > 0 && !parsed->numbers.empty());
  const auto wrapped = ParseExpression("0+1*(" + std::string(text) + ")");
  if (!wrapped) return;  // one parenthesis too deep
  FOURSTEP_CHECK(wrapped->value == parsed->value);
  FOURSTEP_CHECK(wrapped->numbers.size() == parsed->numbers.size() + 2);
}

void Judge(const Task& task, std::string_view problem, std::string_view answer, std::string_view reply) {
  const auto box = LastBoxed(reply);
  const Verdict verdict = GradeReply(task, problem, answer, reply);
  FOURSTEP_CHECK(verdict.correct.has_value() == box.has_value());
  FOURSTEP_CHECK(verdict.extracted == box.value_or(""));
  const bool right = task.IsRight(problem, answer, reply);
  FOURSTEP_CHECK(task.IsRight(problem, answer, " " + std::string(reply) + "\n") == right);
  const std::string boxed = "</think>\\boxed{" + std::string(reply) + "}";
  if (right) FOURSTEP_CHECK(GradeReply(task, problem, answer, boxed).correct == true);
}

// Programs are only looked for: running them is the sandbox's matter.
void JudgePublished(const PublishedTask& task, std::string_view problem, std::string_view answer,
                    std::string_view reply) {
  const auto extracted = task.Extract(reply);
  FOURSTEP_CHECK(task.Extract("<think>" + std::string(reply) + "</think>" + std::string(reply)) == extracted);
  if (task.name() == "livecodebench") return;
  const Verdict verdict = GradeReply(task, problem, answer, reply);
  FOURSTEP_CHECK(verdict.correct.has_value() == extracted.has_value());
  FOURSTEP_CHECK(verdict.extracted == extracted.value_or(""));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  std::string_view rest(reinterpret_cast<const char*>(data), size_bytes);
  const std::string_view problem = TakePart(rest), answer = TakePart(rest), reply = rest;
  for (const Task* task : GeneratedTasks()) Judge(*task, problem, answer, reply);
  for (const PublishedTask* task : PublishedTasks()) JudgePublished(*task, problem, answer, reply);
  CheckExpression(answer);
  const auto integer = fourstep::ParseInteger(answer);
  if (integer) FOURSTEP_CHECK(fourstep::ParseInteger(std::to_string(*integer)) == integer);
  const auto numbers = fourstep::IntegersIn(problem);
  FOURSTEP_CHECK(std::all_of(numbers.begin(), numbers.end(), [](int64_t n) { return n >= 0; }));
  return 0;
}
