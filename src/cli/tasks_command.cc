#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/json_lines.h"
#include "cli/option_checks.h"
#include "cli/tasks_compare.h"
#include "eval/problem_stream.h"
#include "eval/task.h"

namespace fourstep::cli {
namespace {

struct GenerateOptions {
  std::string task, split = "evaluation";
  int64_t count = 10;
  uint64_t seed = 0;
  bool with_traces = false, with_choices = false;
  std::vector<std::string> knobs;
  int num_threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
};

void Generate(const GenerateOptions& options) {
  const GeneratedTask& task = FindGeneratedTask(options.task);
  ProblemRequest request{.split = ParseSplit(options.split), .seed = options.seed};
  request.knobs = DefaultKnobs(task, request.split);
  for (const std::string& setting : options.knobs) SetKnob(task, setting, request.knobs);
  request.num_threads = options.num_threads;
  request.record_choices = options.with_choices;
  GenerateProblems(task, request, options.count, [&](const GeneratedProblem& generated) {
    Json line = {{"id", generated.id},
                 {"task", task.name()},
                 {"problem", generated.problem.text},
                 {"answer", generated.problem.answer}};
    if (options.with_traces) line["trace"] = generated.trace;
    if (options.with_choices) {
      Json& choices = line["choices"] = Json::array();
      for (const Writer::Choice& c : generated.choices) choices.push_back({c.offset_bytes, c.entropy});
    }
    WriteLine(line);
  });
  FlushOutput();
}

// Every verdict is flushed: a program that keeps the pipe open waits for it.
void Grade(const std::string& task_name) {
  const Task& task = FindTask(task_name);
  std::string line;
  for (int64_t number = 1;; ++number) {
    const std::string where = fmt::format("line {}", number);
    if (!ReadLine(std::cin, line, where)) break;
    const Json parsed = ParseJson(line, where);
    const JsonReader reader(parsed, where);
    const Verdict verdict =
        GradeReply(task, reader.String("problem"), reader.String("answer"), reader.String("response"));
    Json out = {
        {"id", reader.Get("id")}, {"task", task.name()}, {"correct", nullptr}, {"extracted", nullptr}};
    if (verdict.correct) {
      out["correct"] = *verdict.correct;
      out["extracted"] = verdict.extracted;
    }
    WriteLine(out);
    FlushWhenInputPauses(std::cin);
  }
  FlushOutput();
}

Json RangeJson(const IntRange& range) {
  return Json::array({range.low, range.high});
}

std::string RangeText(const IntRange& range) {
  return range.low == range.high ? fmt::format("{}", range.low)
                                 : fmt::format("{}..{}", range.low, range.high);
}

void List(bool as_json) {
  Json tasks = Json::array();
  for (const GeneratedTask* task : GeneratedTasks()) {
    Json knobs = Json::array();
    if (!as_json) fmt::print("{}: {}\n", task->name(), task->summary());
    for (const Knob& knob : task->knobs()) {
      knobs.push_back({{"name", knob.name},
                       {"help", knob.help},
                       {"allowed", RangeJson(knob.allowed)},
                       {"training", RangeJson(knob.training)},
                       {"evaluation", RangeJson(knob.evaluation)}});
      if (!as_json) {
        fmt::print("  {:<12} {:<56} allowed {:<8} training {:<8} evaluation {}\n", knob.name, knob.help,
                   RangeText(knob.allowed), RangeText(knob.training), RangeText(knob.evaluation));
      }
    }
    tasks.push_back({{"name", task->name()}, {"summary", task->summary()}, {"knobs", knobs}});
  }
  if (as_json) WriteLine(tasks);
  FlushOutput();
}

}  // namespace

void AddTasksCommand(CLI::App& app) {
  CLI::App* tasks =
      app.add_subcommand("tasks", "Problems with exact graders: make them, grade answers to them");
  tasks->require_subcommand(1);

  CLI::App* generate = tasks->add_subcommand("generate", "Write problems as JSON lines");
  auto options = std::make_shared<GenerateOptions>();
  generate->add_option("task", options->task, "One of those that `fourstep tasks list` shows")->required();
  generate->add_option("--split", options->split, "evaluation, calibration or training")
      ->capture_default_str();
  generate->add_option("--n", options->count, "Problems")->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  generate->add_option("--seed", options->seed, "Same seed, same problems")
      ->check(SeedFault)
      ->capture_default_str();
  generate->add_flag("--with-traces", options->with_traces, "Add a reply that reasons to the answer");
  generate->add_flag("--with-choices", options->with_choices,
                     "Add [byte offset, entropy in nats] of every free choice that the trace made");
  generate->add_option("--knob", options->knobs, "name=value or name=low..high; see `fourstep tasks list`");
  generate->add_option("--threads", options->num_threads)->check(CLI::Range(1, 1024))->capture_default_str();
  generate->callback([options] { Generate(*options); });

  CLI::App* grade =
      tasks->add_subcommand("grade", "Read such lines with a \"response\" each, write a verdict for each");
  auto graded_task = std::make_shared<std::string>();
  grade->add_option("task", *graded_task, "The task that the problems are of")->required();
  grade->callback([graded_task] { Grade(*graded_task); });

  CLI::App* list = tasks->add_subcommand("list", "Tasks, their knobs and the knobs' ranges and defaults");
  auto as_json = std::make_shared<bool>(false);
  list->add_flag("--json", *as_json, "As one JSON array");
  list->callback([as_json] { List(*as_json); });

  AddTasksCompare(*tasks);
}

}  // namespace fourstep::cli
