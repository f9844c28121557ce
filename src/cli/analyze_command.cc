#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "analysis/analysis_page.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/option_checks.h"
#include "cli/problem_options.h"
#include "cli/terminal.h"
#include "sampling/params.h"

namespace fourstep::cli {
namespace {

struct AnalyzeOptions {
  AnalysisOptions analysis;
  ProblemOptions problems;
  std::string out = "analysis", reset;
  int32_t parallel = 8;
  bool as_json = false;
};

void CheckModel(const char* name, const std::string& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    throw Errorf(name, "{} is no folder of a model", Printable(folder));
}

AnalysisOptions Resolve(const AnalyzeOptions& options) {
  constexpr int32_t kPromptTokens = 1024;  // room beside the longest answer
  AnalysisOptions analysis = options.analysis;
  CheckModel("BF16", analysis.reference.model);
  CheckModel("NVFP4", analysis.quantised.model);
  analysis.quantised.backend = analysis.reference.backend;
  analysis.quantised.num_threads = analysis.reference.num_threads;
  for (EngineOptions* engine : {&analysis.reference, &analysis.quantised}) {
    engine->max_sequences = options.parallel;
    engine->cache_tokens = int64_t{analysis.max_tokens + kPromptTokens} * options.parallel;
  }
  if (!options.reset.empty()) analysis.reset = ParseArm("reset=reset," + options.reset).sampling;
  analysis.problems = options.problems.Load(analysis.seed);
  return analysis;
}

// A line of progress for each thing that is done.
class Stages {
 public:
  void Update(const std::string& what, int64_t done, int64_t total) {
    if (what != what_) {
      progress_.reset();
      progress_.emplace(what, static_cast<size_t>(total));
      what_ = what;
    }
    progress_->Update(static_cast<size_t>(done));
  }

 private:
  std::string what_;
  std::optional<Progress> progress_;
};

void WriteFiles(const ModelAnalysis& analysis, const std::filesystem::path& folder,
                const std::string& model) {
  const std::vector<Chart> charts = AnalysisCharts(analysis);
  if (!DrawCharts(charts, folder)) {
    fmt::print(
        stderr, "{}\n",
        Dim("there is no gnuplot here: the report is without charts", TerminalOf(STDERR_FILENO).has_colours));
  }
  WriteFile(folder / "report.html", AnalysisPage(analysis, Tokenizer::Load(model), charts, folder));
  WriteFile(folder / "analysis.json", DumpJson(AnalysisJson(analysis)) + "\n");
}

void Analyze(const AnalyzeOptions& options) {
  const AnalysisOptions resolved = Resolve(options);
  const std::filesystem::path folder = options.out;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Errorf(Printable(options.out, 300), "cannot be made: {}", error.message());
  StudyStore store((folder / "study.db").string(), Database::Mode::kWrite);
  std::optional<ModelAnalysis> analysis;
  {
    const InterruptWatch interrupts;
    Stages stages;
    analysis = AnalyzeModels(
        store, resolved,
        [&](const std::string& what, int64_t done, int64_t total) { stages.Update(what, done, total); },
        [&] { return !interrupts.interrupted(); });
  }
  if (!analysis) {
    fmt::print(stderr, "stopped; the answers so far are in {}, the same command goes on\n",
               Printable(store.path(), 300));
    throw Interrupted();
  }
  WriteFiles(*analysis, folder, resolved.reference.model);
  if (options.as_json) {
    WriteLine(AnalysisJson(*analysis));
  } else {
    WriteOutput(AnalysisText(*analysis) +
                fmt::format("\nreport, charts and answers are in {}\n", Printable(options.out, 300)));
  }
  FlushOutput();
}

}  // namespace

void AddAnalyzeCommand(CLI::App& app) {
  CLI::App* analyze = app.add_subcommand("analyze",
                                         "What quantisation did to a model and what ReSET does about it: "
                                         "distributions of entropy, divergence by "
                                         "uncertainty and by kind of token, charts, a report");
  auto options = std::make_shared<AnalyzeOptions>();
  AnalysisOptions& analysis = options->analysis;
  analysis.reference.numerics = "bf16";
  analyze->add_option("reference", analysis.reference.model, "Folder of the model as it was, run in bf16")
      ->required()
      ->option_text("BF16");
  analyze->add_option("quantised", analysis.quantised.model, "Folder of the same model with 4-bit weights")
      ->required()
      ->option_text("NVFP4");
  AddProblemOptions(*analyze, options->problems);
  analyze
      ->add_option("--numerics", analysis.quantised.numerics,
                   "Of the quantised model; default: the best that it allows")
      ->check(CLI::IsMember({"w4a4", "w4a16", "bf16"}))
      ->option_text("NAME");
  analyze->add_option("--temperature", analysis.temperature, "Of the answers without ReSET; default: 0.6")
      ->check(NumberIn(0, kMaxTemperature))
      ->option_text("T");
  analyze->add_option("--top-p", analysis.top_p, "Of all answers; default: 0.95")
      ->check(NumberIn(0, 1))
      ->option_text("P");
  analyze
      ->add_option(
          "--reset", options->reset,
          "Parameters of ReSET, as t-low=0.3,t-high=1,tau-0=0.55; default: what is known for the quantised "
          "model, else these two temperatures and the 80th percentile of its entropies")
      ->option_text("KEY=VALUE,...");
  analyze->add_option("--max-tokens", analysis.max_tokens, "Of an answer; default: 4096")
      ->check(CLI::Range(1, 1 << 24))
      ->option_text("N");
  analyze->add_option("--seed", analysis.seed, "Of the problems and of the draws; default: 0")
      ->check(SeedFault)
      ->option_text("N");
  analyze->add_option("--parallel", options->parallel, "Answers at a time; default: 8")
      ->check(CLI::Range(1, 1024))
      ->option_text("N");
  analyze
      ->add_option("--backend", analysis.reference.backend,
                   fmt::format("{}; default: cpu", fmt::join(BackendNames(), " or ")))
      ->check(CLI::IsMember(BackendNames()))
      ->option_text("NAME");
  analyze->add_option("--threads", analysis.reference.num_threads, "Default: as many as there are cores")
      ->check(CLI::Range(1, 1024))
      ->option_text("N");
  analyze
      ->add_option(
          "--out", options->out,
          "Folder for report.html, charts, analysis.json and all answers (study.db, from which a stopped run "
          "goes on); default: analysis")
      ->option_text("FOLDER");
  analyze->add_flag("--json", options->as_json, "The figures as one JSON object");
  analyze->callback([options] { Analyze(*options); });
}

}  // namespace fourstep::cli
