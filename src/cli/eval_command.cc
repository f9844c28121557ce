#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/model_options.h"
#include "cli/option_checks.h"
#include "cli/problem_options.h"
#include "cli/terminal.h"
#include "eval/endpoint_answers.h"
#include "eval/study.h"
#include "eval/study_report.h"

namespace fourstep::cli {
namespace {

struct EvalOptions {
  ModelOptions model;
  ProblemOptions problems;
  std::vector<std::string> arms;
  std::string store, endpoint;
  int32_t samples = 1, max_tokens = 4096, parallel = 8;
  uint64_t seed = 0;
  std::optional<double> top_p;
  double half_width_points = 0;
  bool with_entropies = false, as_json = false;
};

void Tell(const std::string& text) {
  fmt::print(stderr, "{}\n", Dim(text, TerminalOf(STDERR_FILENO).has_colours));
}

std::vector<ArmSetting> ParseArms(const EvalOptions& options) {
  std::vector<ArmSetting> settings;
  for (const std::string& text : options.arms) settings.push_back(ParseArm(text));
  if (settings.empty()) settings.push_back({.name = "default"});
  for (ArmSetting& setting : settings) {
    if (!setting.sampling.top_p) setting.sampling.top_p = options.top_p;
  }
  return settings;
}

// Room for a prompt beside the longest answer, unless --context says otherwise.
EngineOptions EngineOptionsOf(const EvalOptions& options) {
  constexpr int32_t kPromptTokens = 1024;
  ModelOptions model = options.model;
  if (model.context_tokens == 0) model.context_tokens = options.max_tokens + kPromptTokens;
  return model.Resolve(options.parallel);
}

// "fixed 71.2±1.3, reset 72.0±1.3": of the arms that answer.
std::string RunningAccuracies(const Study& study, const std::vector<size_t>& arms) {
  constexpr size_t kMostShown = 4;
  std::string text;
  for (size_t i = 0; i < std::min(arms.size(), kMostShown); ++i) {
    const Study::Tally& tally = study.tallies()[arms[i]];
    if (tally.num_answers == 0) continue;
    // Several answers to a problem count as one: the interval is too wide rather than too narrow.
    const double samples = study.plan().samples;
    const auto trials = static_cast<int64_t>(std::max(1.0, static_cast<double>(tally.num_answers) / samples));
    const double share = static_cast<double>(tally.num_right) / static_cast<double>(tally.num_answers);
    const auto successes = static_cast<int64_t>(share * static_cast<double>(trials) + 0.5);
    text += fmt::format("{}{} {:.1f}±{:.1f}", text.empty() ? "" : ", ", study.arms()[arms[i]].arm.name,
                        100 * share, 100 * ProportionInterval(successes, trials).half_width());
  }
  return text + (arms.size() > kMostShown ? ", ..." : "");
}

// Servers want a key of those who pay; it is not for command lines, which others can see.
constexpr const char* kApiKeyVariable = "OPENAI_API_KEY";

std::unique_ptr<AnswerSource> SourceOf(const ResolvedArm& arm, const EvalOptions& options) {
  if (options.endpoint.empty()) return std::make_unique<EngineAnswers>(arm.engine);
  const char* key = std::getenv(kApiKeyVariable);
  return MakeEndpointAnswers({.url = options.endpoint,
                              .model = arm.engine.model,
                              .api_key = key == nullptr ? "" : key,
                              .parallel = options.parallel});
}

// False where Ctrl-C came before the end.
bool AnswerAll(Study& study, const EvalOptions& options) {
  const InterruptWatch interrupts;
  Progress progress("answers", static_cast<size_t>(study.num_wanted()));
  for (const std::vector<size_t>& family : study.UnfinishedFamilies()) {
    const std::unique_ptr<AnswerSource> source = SourceOf(study.arms()[family[0]], options);
    study.Answer(*source, family, [&] {
      progress.Update(static_cast<size_t>(study.num_answered()), RunningAccuracies(study, family));
      return !interrupts.interrupted();
    });
    if (interrupts.interrupted()) return false;
  }
  return true;
}

std::vector<ResolvedArm> Resolve(const std::vector<ArmSetting>& settings, const EvalOptions& options) {
  if (options.endpoint.empty()) return ResolveArms(settings, EngineOptionsOf(options));
  const EngineOptions& engine = options.model.engine;
  if (engine.model.empty()) throw Error("MODEL", "is missing, expected the name that the server calls it by");
  if (!engine.numerics.empty()) throw Error("--numerics", "is the server's business");
  if (!engine.kv_cache.empty()) throw Error("--kv-cache", "is the server's business");
  if (options.with_entropies) throw Error("--entropies", "a server does not tell them");
  std::vector<ResolvedArm> arms = ResolveEndpointArms(settings, options.endpoint, engine.model);
  (void)SourceOf(arms[0], options);  // so that a bad URL is told before a file is made
  return arms;
}

// "eval-countdown-dag.db"
std::string DefaultStore(const ProblemOptions& problems) {
  std::string name = "eval";
  for (const ProblemSource& source : ParseProblemSources(problems.tasks, problems.knobs))
    name += "-" + source.task;
  return name + ".db";
}

void Evaluate(const EvalOptions& options) {
  const std::vector<ArmSetting> settings = ParseArms(options);
  StudyPlan plan{.problems = options.problems.Load(options.seed),
                 .samples = options.samples,
                 .max_tokens = options.max_tokens,
                 .seed = options.seed,
                 .keep_traces = options.with_entropies};
  std::vector<ResolvedArm> arms = Resolve(settings, options);
  const std::string path = options.store.empty() ? DefaultStore(options.problems) : options.store;
  StudyStore store(path, Database::Mode::kWrite);
  Study study(store, std::move(plan), std::move(arms));
  Tell(ForecastText(static_cast<int64_t>(study.plan().problems.size()), options.half_width_points / 100));
  if (study.num_answered() > 0) {
    Tell(fmt::format("{} of {} answers are in {} already", study.num_answered(), study.num_wanted(),
                     Printable(path, 300)));
  }
  if (!AnswerAll(study, options)) {
    Tell(fmt::format("stopped with {} of {} answers in {}; the same command goes on", study.num_answered(),
                     study.num_wanted(), Printable(path, 300)));
    throw Interrupted();
  }
  const StudyReport report = MakeStudyReport(store);
  if (options.as_json) {
    WriteLine(StudyReportJson(report));
  } else {
    WriteOutput(StudyReportText(report) + fmt::format("\nall answers are in {}\n", Printable(path, 300)));
  }
  FlushOutput();
}

void AddStudyOptions(CLI::App& eval, EvalOptions& options) {
  AddProblemOptions(eval, options.problems);
  eval.add_option(
          "--arm", options.arms,
          "What answers: a policy (fixed, greedy, reset, dynatemp) and its parameters, named as the flags of "
          "`fourstep run`; also top-p, top-k, min-p, and model, numerics, kv-cache, backend where an arm has "
          "its own. "
          "Repeated: the first is what others are compared with. Default: the model's own policy")
      ->allow_extra_args(false)
      ->option_text("NAME=POLICY,KEY=VALUE,...");
  eval.add_option("--samples", options.samples, "Answers of each arm to a problem; default: 1")
      ->check(CLI::Range(1, 1 << 16))
      ->option_text("N");
  eval.add_option("--seed", options.seed, "Of the problems and of the draws; default: 0")
      ->check(SeedFault)
      ->option_text("N");
  eval.add_option("--half-width", options.half_width_points,
                  "Wanted, in points: says how many problems it needs")
      ->check(NumberIn(0.001, 100))
      ->option_text("POINTS");
}

}  // namespace

void AddEvalCommand(CLI::App& app) {
  CLI::App* eval = app.add_subcommand(
      "eval",
      "Have any number of models or policies answer the same problems with the same random numbers; say how "
      "they differ and how sure that is");
  auto options = std::make_shared<EvalOptions>();
  AddModelOptions(*eval, options->model);
  AddStudyOptions(*eval, *options);
  eval->add_option("--max-tokens", options->max_tokens, "Of an answer; default: 4096")
      ->check(CLI::Range(1, 1 << 24))
      ->option_text("N");
  eval->add_option("--top-p", options->top_p, "Of the arms that do not say it; default: the model's")
      ->check(NumberIn(0, 1))
      ->option_text("P");
  eval->add_option("--parallel", options->parallel, "Answers at a time; default: 8")
      ->check(CLI::Range(1, 1024))
      ->option_text("N");
  eval->add_option(
          "--store", options->store,
          "Keeps every answer; a run that was stopped goes on from it, and one with more arms, problems or "
          "samples adds to it. Default: eval-TASK.db")
      ->option_text("FILE");
  eval->add_option(
          "--endpoint", options->endpoint,
          "A server that speaks OpenAI's chat completions answers instead, MODEL is what it calls its model; "
          "http://HOST:PORT/v1. A key for it goes into the environment as OPENAI_API_KEY")
      ->option_text("URL");
  eval->add_flag("--entropies", options->with_entropies,
                 "Keep the entropy and temperature of every token too");
  eval->add_flag("--json", options->as_json, "The report as one JSON object");
  eval->callback([options] { Evaluate(*options); });
}

}  // namespace fourstep::cli
