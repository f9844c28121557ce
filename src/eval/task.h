// A task: problems from a seed, each with its answer, a trace that reasons to it, and a grader.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/wording.h"

namespace fourstep {

struct IntRange {
  int low, high;  // both included
};

// One dial of a task's difficulty. A problem draws its value uniformly from a range.
struct Knob {
  std::string_view name;
  std::string_view help;
  IntRange allowed;
  IntRange training;    // default of the training split: broad
  IntRange evaluation;  // default of the evaluation and calibration splits
};

struct Problem {
  std::string text;       // the user's sentence
  std::string answer;     // a right answer, as the box holds it
  std::string canonical;  // the same for problems that differ in mere order: what the split hashes
};

struct Verdict {
  std::optional<bool> correct;  // nothing: no answer found
  std::string extracted;        // the answer that was judged
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view summary() const = 0;
  virtual std::span<const Knob> knobs() const = 0;

  // A problem with these knob values (in the order of knobs()). Writes the whole reply that solves it,
  // "<think>\n" to the sentence with the box, to `writer`, whose draws are the only source of chance.
  virtual Problem Generate(std::span<const int> knob_values, Writer& writer) const = 0;

  // Is `boxed` a right answer? `problem` and `answer` may come from outside: never crashes, whatever they
  // hold.
  virtual bool IsRight(std::string_view problem, std::string_view answer, std::string_view boxed) const = 0;
};

// Every task, in the order that lists show them.
std::span<const Task* const> AllTasks();

// Throws Error that lists the names.
const Task& FindTask(std::string_view name);

Verdict GradeReply(const Task& task, std::string_view problem, std::string_view answer,
                   std::string_view reply);

// The list in all_tasks.cc takes them from here.
const Task& CountdownTask();
const Task& DagTask();
const Task& LedgerTask();
const Task& EquationTask();
const Task& ArithmeticTask();

}  // namespace fourstep
