#include <fmt/format.h>

#include "base/error.h"
#include "eval/answer.h"
#include "eval/task.h"

namespace fourstep {

namespace {

template <typename T>
const T& Find(std::span<const T* const> tasks, std::string_view name) {
  std::string names;
  for (const T* task : tasks) {
    if (task->name() == name) return *task;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", task->name());
  }
  throw Errorf("task", "\"{}\" is not one of {}", Printable(name), names);
}

}  // namespace

std::span<const GeneratedTask* const> GeneratedTasks() {
  static const GeneratedTask* const kTasks[] = {&CountdownTask(), &DagTask(), &LedgerTask(), &EquationTask(),
                                                &ArithmeticTask()};
  return kTasks;
}

std::span<const PublishedTask* const> PublishedTasks() {
  static const PublishedTask* const kTasks[] = {&Aime120Task(), &Aime2025Task(),    &Math500Task(),
                                                &Gsm8kTask(),   &GpqaDiamondTask(), &LiveCodeBenchTask()};
  return kTasks;
}

std::span<const Task* const> AllTasks() {
  static const std::vector<const Task*> kTasks = [] {
    std::vector<const Task*> tasks(GeneratedTasks().begin(), GeneratedTasks().end());
    tasks.insert(tasks.end(), PublishedTasks().begin(), PublishedTasks().end());
    return tasks;
  }();
  return kTasks;
}

const Task& FindTask(std::string_view name) {
  return Find(AllTasks(), name);
}

const GeneratedTask& FindGeneratedTask(std::string_view name) {
  return Find(GeneratedTasks(), name);
}

const PublishedTask& FindPublishedTask(std::string_view name) {
  return Find(PublishedTasks(), name);
}

std::optional<std::string> Task::Extract(std::string_view reply) const {
  return LastBoxed(reply);
}

Verdict GradeReply(const Task& task, std::string_view problem, std::string_view answer,
                   std::string_view reply) {
  const std::optional<std::string> extracted = task.Extract(reply);
  if (!extracted) return {};
  return {task.IsRight(problem, answer, *extracted), *extracted};
}

}  // namespace fourstep
