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

std::vector<ProblemSource> ParseProblemSources(const std::vector<std::string>& tasks,
                                               const std::vector<std::string>& knobs) {
  std::vector<ProblemSource> sources;
  const auto find = [&](const std::string& name) {
    return std::find_if(sources.begin(), sources.end(),
                        [&](const ProblemSource& source) { return source.task == name; });
  };
  for (const std::string& text : tasks) {
    const size_t equals = std::min(text.find('='), text.size());
    ProblemSource source{.task = text.substr(0, equals),
                         .file = equals < text.size() ? text.substr(equals + 1) : ""};
    (void)FindTask(source.task);
    if (find(source.task) != sources.end()) throw Errorf("--task", "{} stands twice", source.task);
    sources.push_back(std::move(source));
  }
  for (const std::string& knob : knobs) {
    const size_t dot = knob.find('.');
    if (dot < knob.find('=')) {
      const auto source = find(knob.substr(0, dot));
      if (source == sources.end())
        throw Errorf("--knob", "\"{}\" is of no task that was named", Printable(knob));
      source->knobs.push_back(knob.substr(dot + 1));
    } else if (sources.size() == 1) {
      sources[0].knobs.push_back(knob);
    } else {
      throw Errorf("--knob", "\"{}\" does not say of which task, expected TASK.name=value", Printable(knob));
    }
  }
  return sources;
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
