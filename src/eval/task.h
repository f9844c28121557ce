// A task: problems, each with its answer, and a grader of replies to them. Its problems are either generated,
// from a seed, or published ones, from a file.
#pragma once

#include <cstdint>
#include <filesystem>
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

  // The answer that a reply gives; nothing where it gives none.
  virtual std::optional<std::string> Extract(std::string_view reply) const;

  // Throws Error where this machine cannot judge answers: where it lacks what programs are run in.
  virtual void CheckGrader() const {}

  // Is `extracted` a right answer? `problem` and `answer` may come from outside: never crashes, whatever they
  // hold. Throws Error where `answer` is nothing that the task can have.
  virtual bool IsRight(std::string_view problem, std::string_view answer,
                       std::string_view extracted) const = 0;
};

// Problems without end, each with a trace that reasons to its answer.
class GeneratedTask : public Task {
 public:
  virtual std::span<const Knob> knobs() const = 0;

  // A problem with these knob values (in the order of knobs()). Writes the whole reply that solves it,
  // "<think>\n" to the sentence with the box, to `writer`, whose draws are the only source of chance.
  virtual Problem Generate(std::span<const int> knob_values, Writer& writer) const = 0;
};

struct PublishedProblem {
  std::string id;      // as the file has it, or else the task's name and the line's number
  std::string text;    // the user's turn: the problem within the prompt that is usual for the task
  std::string answer;  // what IsRight takes
};

// A published benchmark: the problems of a file that the user has.
class PublishedTask : public Task {
 public:
  // All problems of the file, in its order. Throws Error where it is not a file of this task. `seed` is of
  // the order of choices, where there are choices.
  virtual std::vector<PublishedProblem> Read(const std::filesystem::path& path, uint64_t seed) const = 0;
};

// Every task, in the order that lists show them: generated ones, then published ones.
std::span<const Task* const> AllTasks();
std::span<const GeneratedTask* const> GeneratedTasks();
std::span<const PublishedTask* const> PublishedTasks();

// Throws Error that lists the names.
const Task& FindTask(std::string_view name);
const GeneratedTask& FindGeneratedTask(std::string_view name);
const PublishedTask& FindPublishedTask(std::string_view name);

Verdict GradeReply(const Task& task, std::string_view problem, std::string_view answer,
                   std::string_view reply);

// The list in all_tasks.cc takes them from here.
const GeneratedTask& CountdownTask();
const GeneratedTask& DagTask();
const GeneratedTask& LedgerTask();
const GeneratedTask& EquationTask();
const GeneratedTask& ArithmeticTask();
const PublishedTask& Aime120Task();
const PublishedTask& Aime2025Task();
const PublishedTask& Math500Task();
const PublishedTask& Gsm8kTask();
const PublishedTask& GpqaDiamondTask();
const PublishedTask& LiveCodeBenchTask();

}  // namespace fourstep
