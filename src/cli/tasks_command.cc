#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <optional>
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
#include "eval/study_problems.h"
#include "eval/task.h"

namespace fourstep::cli {
namespace {

constexpr int64_t kDefaultCount = 10;

struct GenerateOptions {
  std::string task, split = "evaluation";
  std::optional<int64_t> count;
  uint64_t seed = 0;
  bool with_traces = false, with_choices = false;
  std::vector<std::string> knobs;
  int num_threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
};

// TASK=FILE: the problems of a file, as prompts.
void WritePublished(const GenerateOptions& options) {
  if (options.with_traces) throw Error("--with-traces", "published problems have none");
  if (options.with_choices) throw Error("--with-choices", "published problems have none");
  const size_t equals = options.task.find('=');
  const ProblemSource source{.task = options.task.substr(0, equals),
                             .file = equals == std::string::npos ? "" : options.task.substr(equals + 1),
                             .split = ParseSplit(options.split),
                             .seed = options.seed,
                             .knobs = options.knobs};
  for (const StudyProblem& problem : LoadProblems(source, options.count)) {
    WriteLine(
        {{"id", problem.id}, {"task", problem.task}, {"problem", problem.text}, {"answer", problem.answer}});
  }
  FlushOutput();
}

void Generate(const GenerateOptions& options) {
  const Task& named = FindTask(std::string_view(options.task).substr(0, options.task.find('=')));
  const auto* generated_task = dynamic_cast<const GeneratedTask*>(&named);
  if (generated_task == nullptr) return WritePublished(options);
  const GeneratedTask& task = *generated_task;
  if (task.name() != options.task) {
    throw Errorf("task", "{} makes its problems and takes no file", task.name());
  }
  ProblemRequest request{.split = ParseSplit(options.split), .seed = options.seed};
  request.knobs = DefaultKnobs(task, request.split);
  for (const std::string& setting : options.knobs) SetKnob(task, setting, request.knobs);
  request.num_threads = options.num_threads;
  request.record_choices = options.with_choices;
  GenerateProblems(task, request, options.count.value_or(kDefaultCount),
                   [&](const GeneratedProblem& generated) {
                     Json line = {{"id", generated.id},
                                  {"task", task.name()},
                                  {"problem", generated.problem.text},
                                  {"answer", generated.problem.answer}};
                     if (options.with_traces) line["trace"] = generated.trace;
                     if (options.with_choices) {
                       Json& choices = line["choices"] = Json::array();
                       for (const Writer::Choice& c : generated.choices)
                         choices.push_back({c.offset_bytes, c.entropy});
                     }
                     WriteLine(line);
                   });
  FlushOutput();
}

Verdict GradeLine(const Task& task, const std::string& problem, const JsonReader& line) {
  const std::string answer = line.String("answer"), response = line.String("response");
  try {
    return GradeReply(task, problem, answer, response);
  } catch (const Error& error) {
    throw Error(line.where(), error.what());
  }
}

// Every verdict is flushed: a program that keeps the pipe open waits for it.
void Grade(const std::string& task_name) {
  const Task& task = FindTask(task_name);
  task.CheckGrader();
  const bool is_published = dynamic_cast<const PublishedTask*>(&task) != nullptr;
  std::string line;
  for (int64_t number = 1;; ++number) {
    const std::string where = fmt::format("line {}", number);
    if (!ReadLine(std::cin, line, where)) break;
    const Json parsed = ParseJson(line, where);
    const JsonReader reader(parsed, where);
    const std::string problem = is_published ? reader.StringOr("problem", "") : reader.String("problem");
    const Verdict verdict = GradeLine(task, problem, reader);
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
    tasks.push_back(
        {{"name", task->name()}, {"summary", task->summary()}, {"published", false}, {"knobs", knobs}});
  }
  if (!as_json) fmt::print("\npublished, read from your file as TASK=FILE:\n\n");
  for (const PublishedTask* task : PublishedTasks()) {
    tasks.push_back({{"name", task->name()},
                     {"summary", task->summary()},
                     {"published", true},
                     {"knobs", Json::array()}});
    if (!as_json) fmt::print("{}: {}\n", task->name(), task->summary());
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
  generate
      ->add_option("task", options->task,
                   "One of those that `fourstep tasks list` shows; a published one with its file")
      ->required()
      ->option_text("TASK[=FILE]");
  generate->add_option("--split", options->split, "evaluation, calibration or training")
      ->capture_default_str();
  generate->add_option("--n", options->count, "Problems; default: 10, of a file all")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
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
