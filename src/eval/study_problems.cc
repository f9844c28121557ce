#include "eval/study_problems.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace fourstep {
namespace {

constexpr int64_t kDefaultCount = 200;

std::vector<StudyProblem> Generated(const GeneratedTask& task, const ProblemSource& source, int64_t count) {
  if (!source.file.empty()) throw Errorf("--task", "{} makes its problems and takes no file", task.name());
  ProblemRequest request{.split = source.split, .seed = source.seed};
  request.knobs = DefaultKnobs(task, source.split);
  for (const std::string& setting : source.knobs) SetKnob(task, setting, request.knobs);
  std::vector<StudyProblem> problems;
  GenerateProblems(task, request, count, [&](const GeneratedProblem& generated) {
    problems.push_back({.id = generated.id,
                        .task = std::string(task.name()),
                        .text = generated.problem.text,
                        .answer = generated.problem.answer});
  });
  return problems;
}

std::vector<StudyProblem> Published(const PublishedTask& task, const ProblemSource& source,
                                    std::optional<int64_t> count) {
  if (source.file.empty()) throw Errorf("--task", "{0} needs its file: {0}=FILE", task.name());
  if (!source.knobs.empty()) throw Errorf("--knob", "{} has none", task.name());
  if (source.split != Split::kEvaluation) {
    throw Errorf("--split", "the problems of {} are for evaluation, there are none for {}", task.name(),
                 SplitName(source.split));
  }
  std::vector<PublishedProblem> read = task.Read(source.file, source.seed);
  if (count && *count > static_cast<int64_t>(read.size())) {
    throw Errorf("--problems", "{} has {}, {} were asked for", Printable(source.file, 200), read.size(),
                 *count);
  }
  if (count) read.resize(static_cast<size_t>(*count));
  std::vector<StudyProblem> problems;
  for (PublishedProblem& problem : read) {
    problems.push_back({.id = std::move(problem.id),
                        .task = std::string(task.name()),
                        .text = std::move(problem.text),
                        .answer = std::move(problem.answer)});
  }
  return problems;
}

}  // namespace

ProblemSource ParseProblemSource(const std::string& text) {
  const size_t equals = std::min(text.find('='), text.size());
  return {.task = text.substr(0, equals), .file = equals < text.size() ? text.substr(equals + 1) : ""};
}

std::vector<StudyProblem> LoadProblems(const ProblemSource& source, std::optional<int64_t> count) {
  const Task& task = FindTask(source.task);
  task.CheckGrader();
  if (const auto* generated = dynamic_cast<const GeneratedTask*>(&task)) {
    return Generated(*generated, source, count.value_or(kDefaultCount));
  }
  return Published(dynamic_cast<const PublishedTask&>(task), source, count);
}

}  // namespace fourstep
