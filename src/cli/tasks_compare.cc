#include "cli/tasks_compare.h"

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/json_lines.h"
#include "eval/comparison.h"

namespace fourstep::cli {
namespace {

struct CompareOptions {
  std::vector<std::string> arms;
  bool as_json = false;
};

Arm ReadNamedArm(const std::string& setting) {
  const size_t equals = setting.find('=');
  if (equals == 0 || equals == setting.npos) {
    throw Errorf("arm", "\"{}\" is not NAME=FILE", Printable(setting));
  }
  const std::string file = setting.substr(equals + 1);
  std::ifstream lines = OpenInput(file);
  return ReadArm(setting.substr(0, equals), lines, Printable(file));
}

void Compare(const CompareOptions& options) {
  std::vector<Arm> arms;
  for (const std::string& setting : options.arms) arms.push_back(ReadNamedArm(setting));
  const Comparison comparison = CompareArms(arms);
  if (options.as_json) {
    WriteLine(ComparisonJson(comparison));
  } else {
    WriteOutput(ComparisonText(comparison));
  }
  FlushOutput();
}

}  // namespace

void AddTasksCompare(CLI::App& tasks) {
  CLI::App* compare = tasks.add_subcommand("compare",
                                           "Accuracies with 95 % intervals, and paired differences, of "
                                           "verdicts on the same problems; a reply without "
                                           "an answer counts as wrong");
  auto options = std::make_shared<CompareOptions>();
  compare->add_option("arms", options->arms, "Name of an arm and its file of verdicts; two or more")
      ->required()
      ->option_text("NAME=FILE ...");
  compare->add_flag("--json", options->as_json, "As one JSON object");
  compare->callback([options] { Compare(*options); });
}

}  // namespace fourstep::cli
