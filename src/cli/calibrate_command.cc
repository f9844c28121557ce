#include <fmt/format.h>

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
#include "eval/problem_stream.h"
#include "sampling/params.h"
#include "sampling/reset_file.h"

namespace fourstep::cli {
namespace {

constexpr int64_t kProblemsATask = 5;  // as many as the published thresholds were measured on

struct CalibrateOptions {
  ModelOptions model;
  EntropyCalibrationOptions entropy;
  std::string problems, out;
  std::optional<double> t_low, t_high;
  bool json = false;
};

// Problems that no evaluation ever sees, of every task that reasons in steps.
std::vector<std::string> BuiltInProblems() {
  std::vector<std::string> texts;
  for (const GeneratedTask* task : GeneratedTasks()) {
    if (task->name() == "arithmetic") continue;
    ProblemRequest request{.split = Split::kCalibration};
    request.knobs = DefaultKnobs(*task, request.split);
    GenerateProblems(*task, request, kProblemsATask,
                     [&](const GeneratedProblem& generated) { texts.push_back(generated.problem.text); });
  }
  return texts;
}

std::vector<std::string> ReadProblems(const std::string& path) {
  if (path.empty()) return BuiltInProblems();
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

ResetFile ResetFileOf(const CalibrateOptions& options, const EntropyCalibration& measured,
                      const std::filesystem::path& path, const std::string& numerics) {
  ResetFile file;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) {
    file = ReadResetFile(path);
  } else {
    file.temperatures_from =
        "not chosen on problems: the published T_high, and a T_low within the published range";
  }
  if (options.t_low || options.t_high) file.temperatures_from = "given by hand";
  file.t_low = options.t_low.value_or(file.t_low);
  file.t_high = options.t_high.value_or(file.t_high);
  file.tau_0 = measured.tau_0;
  file.percentile = options.entropy.percentile;
  file.tau_0_from = fmt::format(
      "{} tokens of {} answers to calibration problems at T {:g} in {} ({} of them cut)", measured.num_tokens,
      measured.num_answers, options.entropy.temperature, numerics, measured.num_cut);
  return file;
}

void Calibrate(const CalibrateOptions& options) {
  const std::vector<std::string> problems = ReadProblems(options.problems);
  const EngineOptions resolved = options.model.Resolve(8);
  Engine engine(resolved);
  EntropyCalibration measured;
  {
    Progress progress("answers", problems.size());
    measured = CalibrateEntropy(engine, problems, options.entropy,
                                [&](size_t done, size_t) { progress.Update(done); });
  }
  const std::filesystem::path path = options.out.empty()
                                         ? std::filesystem::path(resolved.model) / "reset.json"
                                         : std::filesystem::path(options.out);
  const ResetFile file = ResetFileOf(options, measured, path, engine.info().numerics);
  WriteResetFile(path, file);
  if (options.json) {
    WriteLine({{"file", path.string()},
               {"tau_0", file.tau_0},
               {"percentile", file.percentile},
               {"tau_0_5_below", measured.lower},
               {"tau_0_5_above", measured.upper},
               {"mean_entropy", measured.mean_entropy},
               {"tokens", measured.num_tokens},
               {"answers", measured.num_answers},
               {"cut", measured.num_cut},
               {"t_low", file.t_low},
               {"t_high", file.t_high}});
  } else {
    WriteOutput(fmt::format(
        "tau_0 {:.4f} nats: percentile {:g} of {} token entropies ({:.4f} at {:g}, {:.4f} at {:g}; mean "
        "{:.4f})\n"
        "T_low {:g}, T_high {:g}: {}\nwrote {}\n",
        file.tau_0, file.percentile, measured.num_tokens, measured.lower, std::max(0.0, file.percentile - 5),
        measured.upper, std::min(100.0, file.percentile + 5), measured.mean_entropy, file.t_low, file.t_high,
        file.temperatures_from, Printable(path.string(), 300)));
  }
  FlushOutput();
}

}  // namespace

void AddCalibrateCommand(CLI::App& app) {
  CLI::App* calibrate = app.add_subcommand(
      "calibrate", "Measure tau_0 of the ReSET policy and write reset.json beside the model");
  auto options = std::make_shared<CalibrateOptions>();
  AddModelOptions(*calibrate, options->model);
  calibrate
      ->add_option(
          "--problems", options->problems,
          "JSON lines with a \"problem\" or \"prompt\" each, -: standard input; default: five calibration "
          "problems of each built-in task")
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
  calibrate->add_option("--out", options->out, "Instead of MODEL/reset.json")->option_text("FILE");
  calibrate->add_flag("--json", options->json, "The result as one JSON object");
  calibrate->callback([options] { Calibrate(*options); });
}

}  // namespace fourstep::cli
