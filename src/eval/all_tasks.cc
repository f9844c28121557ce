#include <fmt/format.h>

#include "base/error.h"
#include "eval/answer.h"
#include "eval/task.h"

namespace fourstep {

std::span<const Task* const> AllTasks() {
  static const Task* const kTasks[] = {&CountdownTask(), &DagTask(), &LedgerTask(), &EquationTask(),
                                       &ArithmeticTask()};
  return kTasks;
}

const Task& FindTask(std::string_view name) {
  std::string names;
  for (const Task* task : AllTasks()) {
    if (task->name() == name) return *task;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", task->name());
  }
  throw Errorf("task", "\"{}\" is not one of {}", Printable(name), names);
}

Verdict GradeReply(const Task& task, std::string_view problem, std::string_view answer,
                   std::string_view reply) {
  const std::optional<std::string> boxed = LastBoxed(reply);
  if (!boxed) return {};
  return {task.IsRight(problem, answer, *boxed), *boxed};
}

}  // namespace fourstep
