#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/batch.h"
#include "cli/commands.h"
#include "cli/json_lines.h"
#include "cli/model_options.h"
#include "cli/option_checks.h"
#include "eval/entropy_calibration.h"
#include "eval/policy_choice.h"
#include "eval/study_problems.h"
#include "sampling/params.h"
#include "sampling/reset_file.h"

namespace fourstep::cli {
namespace {

constexpr int64_t kProblemsATask = 5;  // as many as the published thresholds were measured on

struct CalibrateOptions {
  ModelOptions model;
  EntropyCalibrationOptions entropy;
  PolicyChoiceOptions choice;
  std::vector<std::string> tasks, knobs;  // empty: no temperatures are chosen
  std::string problems, out, store = ":memory:";
  std::optional<double> t_low, t_high;
  int32_t parallel = 8;
  bool json = false;
};

// Problems that no evaluation ever sees: of these tasks, or of every one that reasons in steps.
std::vector<std::string> CalibrationProblems(std::vector<ProblemSource> sources) {
  if (sources.empty()) {
    for (const GeneratedTask* task : GeneratedTasks()) {
      if (task->name() != "arithmetic") sources.push_back({.task = std::string(task->name())});
    }
  }
  std::vector<std::string> texts;
  for (ProblemSource& source : sources) {
    (void)FindGeneratedTask(source.task);  // published problems are for evaluation only
    source.split = Split::kCalibration;
    for (const StudyProblem& problem : LoadProblems(source, kProblemsATask)) texts.push_back(problem.text);
  }
  return texts;
}

std::vector<std::string> ReadProblems(const CalibrateOptions& options) {
  const std::string& path = options.problems;
  if (path.empty()) return CalibrationProblems(ParseProblemSources(options.tasks, options.knobs));
  std::vector<std::string> texts;
  const auto read = [&](std::istream& input, const std::string& where) {
    for (BatchLine& line : ReadBatch(input, where)) texts.push_back(std::move(line.text));
  };
  if (path == "-") {
    read(std::cin, "standard input");
  } else {
    std::ifstream file = OpenInput(path);
    read(file, path);
  }
  return texts;
}

// What stands in the file already, or what would stand there without a choice. Throws before any work is done
// where it cannot be read, or none can be written beside it.
ResetFile StartingFile(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) return ReadResetFile(path);
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (access(folder.c_str(), W_OK) != 0) {
    throw Errorf(Printable(path.string(), 300), "cannot be written: {}", std::strerror(errno));
  }
  ResetFile file;
  file.temperatures_from =
      "not chosen on problems: the published T_high, and a T_low within the published range";
  return file;
}

EntropyCalibration MeasureEntropies(Engine& engine, const std::vector<std::string>& problems,
                                    const EntropyCalibrationOptions& options) {
  Progress progress("answers", problems.size());
  return CalibrateEntropy(engine, problems, options, [&](size_t done, size_t) { progress.Update(done); });
}

void ChooseTemperatures(EngineAnswers& source, const EntropyCalibration& measured,
                        const CalibrateOptions& options, ResetFile& file) {
  PolicyChoiceOptions choice_options = options.choice;
  choice_options.sources = ParseProblemSources(options.tasks, options.knobs);
  choice_options.seed = options.entropy.seed;
  choice_options.max_tokens = options.entropy.max_tokens;
  choice_options.percentile = options.entropy.percentile;
  StudyStore store(options.store, Database::Mode::kWrite);
  Progress progress("answers", static_cast<size_t>(choice_options.max_answers));
  const PolicyChoice choice = ChoosePolicy(
      store, source, measured.entropies, choice_options,
      [&](int64_t answers, const std::string& note) { progress.Update(static_cast<size_t>(answers), note); });
  file.t_low = choice.chosen.t_low;
  file.t_high = choice.chosen.t_high;
  file.tau_0 = choice.chosen.tau_0;
  file.percentile = choice.chosen.percentile;
  file.temperatures_from = choice.summary;
  file.choice = choice.record;
}

void WriteResult(const CalibrateOptions& options, const EntropyCalibration& measured, const ResetFile& file,
                 const std::filesystem::path& path) {
  if (options.json) {
    Json line = {{"file", path.string()},         {"tau_0", file.tau_0},
                 {"percentile", file.percentile}, {"mean_entropy", measured.mean_entropy},
                 {"tokens", measured.num_tokens}, {"answers", measured.num_answers},
                 {"cut", measured.num_cut},       {"t_low", file.t_low},
                 {"t_high", file.t_high}};
    line["tau_0_5_below"] = Percentile(measured.entropies, std::max(0.0, file.percentile - 5));
    line["tau_0_5_above"] = Percentile(measured.entropies, std::min(100.0, file.percentile + 5));
    if (!options.tasks.empty()) line["choice"] = file.choice;
    WriteLine(line);
  } else {
    const double below = std::max(0.0, file.percentile - 5), above = std::min(100.0, file.percentile + 5);
    WriteOutput(fmt::format(
        "tau_0 {:.4f} nats: percentile {:g} of {} token entropies ({:.4f} at {:g}, {:.4f} at {:g}; mean "
        "{:.4f})\n"
        "T_low {:g}, T_high {:g}: {}\nwrote {}\n",
        file.tau_0, file.percentile, measured.num_tokens, Percentile(measured.entropies, below), below,
        Percentile(measured.entropies, above), above, measured.mean_entropy, file.t_low, file.t_high,
        file.temperatures_from, Printable(path.string(), 300)));
  }
  FlushOutput();
}

void Calibrate(const CalibrateOptions& options) {
  const bool by_hand = options.t_low || options.t_high;
  if (by_hand && !options.tasks.empty()) throw Error("--task", "chooses T_low and T_high, which are given");
  const std::vector<std::string> problems = ReadProblems(options);
  const EngineOptions resolved = options.model.Resolve(options.parallel);
  const std::filesystem::path path = options.out.empty()
                                         ? std::filesystem::path(resolved.model) / "reset.json"
                                         : std::filesystem::path(options.out);
  ResetFile file = StartingFile(path);
  EngineAnswers source(resolved);
  const EntropyCalibration measured = MeasureEntropies(source.engine(), problems, options.entropy);
  file.tau_0 = measured.tau_0;
  file.percentile = options.entropy.percentile;
  if (by_hand) {
    file.t_low = options.t_low.value_or(file.t_low);
    file.t_high = options.t_high.value_or(file.t_high);
    file.temperatures_from = "given by hand";
    file.choice = nullptr;
  }
  if (!options.tasks.empty()) ChooseTemperatures(source, measured, options, file);
  file.tau_0_from = fmt::format(
      "{} tokens of {} answers to calibration problems at T {:g} in {} ({} of them cut)", measured.num_tokens,
      measured.num_answers, options.entropy.temperature, source.engine().info().numerics, measured.num_cut);
  WriteResetFile(path, file);
  WriteResult(options, measured, file, path);
}

void AddChoiceOptions(CLI::App& calibrate, CalibrateOptions& options) {
  PolicyChoiceOptions& choice = options.choice;
  const char* kGroup = "Choosing T_low and T_high";
  const NumberIn temperature(0, kMaxTemperature);
  calibrate
      .add_option(
          "--task", options.tasks,
          "Race temperatures on calibration problems of this task of `fourstep tasks list`, fixed ones as "
          "equals; repeated: of several in turn. Without it none are chosen")
      ->allow_extra_args(false)
      ->option_text("TASK")
      ->group(kGroup);
  calibrate
      .add_option("--knob", options.knobs,
                  "TASK.name=value or TASK.name=low..high: difficulty of the problems; repeated: several")
      ->allow_extra_args(false)
      ->option_text("KNOB")
      ->group(kGroup);
  calibrate.add_option("--budget", choice.max_answers, "Answers to spend on it; default: 4000")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->option_text("ANSWERS")
      ->group(kGroup);
  const auto add_list = [&](const char* name, std::vector<double>& list, const char* help,
                            const NumberIn& check) {
    calibrate.add_option(name, list, help)
        ->delimiter(',')
        ->check(check)
        ->option_text("X,X,...")
        ->group(kGroup);
  };
  add_list("--try-fixed", choice.fixed, "Fixed temperatures that race; default: 0.1,0.3,0.6,0.8,1",
           temperature);
  add_list("--try-t-low", choice.t_low, "T_low of those that race; default: 0.1,0.3,0.6", temperature);
  add_list("--try-t-high", choice.t_high,
           "T_high of those that race, with every lower T_low; default: 0.6,0.8,1", temperature);
  add_list("--try-percentile", choice.percentiles,
           "Percentiles that race against --percentile, at the temperatures that won; default: 70,90",
           NumberIn(0, 100));
  calibrate.add_option("--parallel", options.parallel, "Answers at a time; default: 8")
      ->check(CLI::Range(1, 1024))
      ->option_text("N")
      ->group(kGroup);
  calibrate.add_option("--store", options.store, "Keeps every answer of the races, as `fourstep eval` does")
      ->option_text("FILE")
      ->group(kGroup);
}

}  // namespace

void AddCalibrateCommand(CLI::App& app) {
  CLI::App* calibrate = app.add_subcommand(
      "calibrate",
      "Measure tau_0 of the ReSET policy, choose its temperatures, and write reset.json beside the model");
  auto options = std::make_shared<CalibrateOptions>();
  AddModelOptions(*calibrate, options->model);
  calibrate
      ->add_option(
          "--problems", options->problems,
          "JSON lines with a \"problem\" or \"prompt\" each, -: standard input; default: five calibration "
          "problems of each --task, or of each that is built in")
      ->option_text("FILE");
  calibrate->add_option("--percentile", options->entropy.percentile, "Of the token entropies that tau_0 is")
      ->check(NumberIn(0, 100))
      ->capture_default_str();
  calibrate
      ->add_option("--max-tokens", options->entropy.max_tokens,
                   "Of an answer; default: as far as the context reaches")
      ->check(CLI::Range(1, 1 << 24));
  calibrate->add_option("--seed", options->entropy.seed, "Of the answers")
      ->check(SeedFault)
      ->capture_default_str();
  calibrate->add_option("--t-low", options->t_low, "Written as it is; default: what reset.json has, else 0.3")
      ->check(NumberIn(0, kMaxTemperature));
  calibrate->add_option("--t-high", options->t_high, "Written as it is; default: what reset.json has, else 1")
      ->check(NumberIn(0, kMaxTemperature));
  AddChoiceOptions(*calibrate, *options);
  calibrate->add_option("--out", options->out, "Instead of MODEL/reset.json")->option_text("FILE");
  calibrate->add_flag("--json", options->json, "The result as one JSON object");
  calibrate->callback([options] { Calibrate(*options); });
}

}  // namespace fourstep::cli
