#include "eval/study_merge.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "eval/study_store.h"

namespace fourstep {
namespace {

class Merge {
 public:
  explicit Merge(const std::string& destination) : to_(destination, Database::Mode::kWrite) {}

  void Add(const std::string& path) {
    StudyStore from(path, Database::Mode::kRead);
    const std::string seed = from.Get("seed");
    seeds_.insert(seed);
    for (const char* key : {"max-tokens", "traces", "samples"}) {
      Expect(path, key, from.Get(key));
      to_.Set(key, from.Get(key));
    }
    const std::vector<StudyArm> arms = from.Arms();
    for (const StudyArm& arm : arms) Expect(path, fmt::format("arm {}", arm.name), arm.identity);
    const std::vector<StudyProblem> problems = from.Problems();
    for (const StudyProblem& problem : problems) {
      Expect(path, fmt::format("problem {}", problem.id),
             fmt::format("{}: {} ({})", problem.task, problem.text, problem.answer));
      Expect(path, fmt::format("problem {} under seed", problem.id), seed);  // on which the draws depend
    }
    const std::vector<int64_t> arm_indices = to_.AddArms(arms), problem_indices = to_.AddProblems(problems);
    const bool has_traces = from.Get("traces") == "kept";
    from.ForEachAnswer(/*with_responses=*/true, [&](const StoredAnswer& answer) {
      const auto arm = static_cast<size_t>(answer.key.arm - 1),
                 problem = static_cast<size_t>(answer.key.problem - 1);
      if (arm >= arm_indices.size() || problem >= problem_indices.size())
        throw Error(Printable(path, 300), "is damaged");
      const std::optional<TokenTrace> trace = has_traces ? from.Trace(answer.key) : std::nullopt;
      StoredAnswer copy = answer;
      copy.key.arm = arm_indices[arm];
      copy.key.problem = problem_indices[problem];
      to_.AddAnswer(copy, trace ? &*trace : nullptr);
    });
  }

  int64_t Finish() {
    std::string all;
    for (const std::string& seed : seeds_) all += (all.empty() ? "" : ", ") + seed;
    to_.Set("seed", all);  // more than one: no run goes on from this file
    return static_cast<int64_t>(to_.AnswerKeys().size());
  }

 private:
  // What files must not disagree about.
  void Expect(const std::string& path, const std::string& what, const std::string& value) {
    const auto [known, is_new] = known_.emplace(what, value);
    if (!is_new && known->second != value) {
      throw Errorf(Printable(path, 300), "has {} {}, a file before it {}", Printable(what),
                   Printable(value, 400), Printable(known->second, 400));
    }
  }

  StudyStore to_;
  std::set<std::string> seeds_;
  std::map<std::string, std::string> known_;
};

}  // namespace

int64_t MergeStudies(const std::vector<std::string>& sources, const std::string& destination) {
  if (std::filesystem::exists(destination))
    throw Error(Printable(destination, 300), "exists already; give the merged study another name");
  try {
    Merge merge(destination);
    for (const std::string& source : sources) merge.Add(source);
    return merge.Finish();
  } catch (...) {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::error_code ignored;
      std::filesystem::remove(destination + suffix, ignored);
    }
    throw;
  }
}

}  // namespace fourstep
