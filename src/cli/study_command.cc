#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/json_lines.h"
#include "eval/study_merge.h"
#include "eval/study_report.h"
#include "eval/study_store.h"

namespace fourstep::cli {
namespace {

void Report(const std::string& path, bool as_json) {
  StudyStore store(path, Database::Mode::kRead);
  const StudyReport report = MakeStudyReport(store);
  if (as_json) {
    WriteLine(StudyReportJson(report));
  } else {
    WriteOutput(StudyReportText(report));
  }
  FlushOutput();
}

struct AnswersOptions {
  std::string path, arm;
  bool with_entropies = false;
};

// "correct" and the rest as `fourstep tasks grade` writes them, so that `tasks compare` reads them.
Json AnswerJson(const StoredAnswer& answer, const StudyProblem& problem, const std::string& arm) {
  Json line = {{"id", problem.id},
               {"task", problem.task},
               {"problem", problem.text},
               {"answer", problem.answer},
               {"arm", arm},
               {"sample", answer.key.sample},
               {"response", answer.response},
               {"finish", answer.finish},
               {"tokens", answer.num_tokens},
               {"correct", nullptr},
               {"extracted", nullptr}};
  if (answer.verdict.correct) {
    line["correct"] = *answer.verdict.correct;
    line["extracted"] = answer.verdict.extracted;
  }
  return line;
}

void WriteAnswers(const AnswersOptions& options) {
  StudyStore store(options.path, Database::Mode::kRead);
  const std::vector<StudyArm> arms = store.Arms();
  const std::vector<StudyProblem> problems = store.Problems();
  bool is_known = options.arm.empty();
  for (const StudyArm& arm : arms) is_known = is_known || arm.name == options.arm;
  if (!is_known)
    throw Errorf("--arm", "{} has no arm \"{}\"", Printable(options.path, 300), Printable(options.arm));
  store.ForEachAnswer(/*with_responses=*/true, [&](const StoredAnswer& answer) {
    const auto arm = static_cast<size_t>(answer.key.arm - 1),
               problem = static_cast<size_t>(answer.key.problem - 1);
    if (arm >= arms.size() || problem >= problems.size())
      throw Error(Printable(options.path, 300), "is damaged");
    if (!options.arm.empty() && arms[arm].name != options.arm) return;
    Json line = AnswerJson(answer, problems[problem], arms[arm].name);
    if (options.with_entropies) {
      const std::optional<TokenTrace> trace = store.Trace(answer.key);
      if (!trace)
        throw Error(Printable(options.path, 300), "has no entropies: the study was run without --entropies");
      line["token_ids"] = trace->tokens;
      line["entropies"] = trace->entropies;
      line["temperatures"] = trace->temperatures;
    }
    WriteLine(line);
  });
  FlushOutput();
}

void MergeInto(const std::string& destination, const std::vector<std::string>& sources) {
  const int64_t num_answers = MergeStudies(sources, destination);
  fmt::print(stderr, "{} answers of {} files are in {}\n", num_answers, sources.size(),
             Printable(destination, 300));
}

}  // namespace

void AddStudyCommand(CLI::App& app) {
  CLI::App* study = app.add_subcommand("study", "Read the file of a study that `fourstep eval` made");
  study->require_subcommand(1);

  CLI::App* report = study->add_subcommand("report", "Accuracies, paired differences and how sure they are");
  auto path = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  report->add_option("store", *path, "The file")->required()->option_text("FILE");
  report->add_flag("--json", *as_json, "As one JSON object");
  report->callback([path, as_json] { Report(*path, *as_json); });

  CLI::App* answers = study->add_subcommand("answers", "Every answer and its verdict as JSON lines");
  auto options = std::make_shared<AnswersOptions>();
  answers->add_option("store", options->path, "The file")->required()->option_text("FILE");
  answers->add_option("--arm", options->arm, "Of this arm only")->option_text("NAME");
  answers->add_flag("--entropies", options->with_entropies,
                    "With ids, entropies and temperatures of the tokens");
  answers->callback([options] { WriteAnswers(*options); });

  CLI::App* merge = study->add_subcommand(
      "merge", "Put files together: the same arms on other problems, answered beside each other");
  auto destination = std::make_shared<std::string>();
  auto sources = std::make_shared<std::vector<std::string>>();
  merge->add_option("destination", *destination, "The file to make")->required()->option_text("FILE");
  merge->add_option("sources", *sources, "The files to read")->required()->option_text("FILE ...");
  merge->callback([destination, sources] { MergeInto(*destination, *sources); });
}

}  // namespace fourstep::cli
