#include "eval/study_merge.h"

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
    for (const char* key : {"max-tokens", "traces", "samples"}) {
      const auto [known, is_new] = settings_.emplace(key, from.Get(key));
      if (!is_new && known->second != from.Get(key)) {
        throw Errorf(Printable(path, 300), "has {} {}, the files before it {}", key, Printable(from.Get(key)),
                     Printable(known->second));
      }
      to_.Set(key, known->second);
    }
    const std::vector<StudyProblem> problems = from.Problems();
    NoteSeed(from.Get("seed"), problems, path);
    const std::vector<int64_t> arm_indices = to_.AddArms(from.Arms()),
                               problem_indices = to_.AddProblems(problems);
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
  // The draws of an answer depend on the study's seed and the problem's id.
  void NoteSeed(const std::string& seed, const std::vector<StudyProblem>& problems, const std::string& path) {
    seeds_.insert(seed);
    for (const StudyProblem& problem : problems) {
      const auto [known, is_new] = seed_of_problem_.emplace(problem.id, seed);
      if (!is_new && known->second != seed) {
        throw Errorf(Printable(path, 300), "asked problem {} with seed {}, another file with seed {}",
                     Printable(problem.id), Printable(seed), Printable(known->second));
      }
    }
  }

  StudyStore to_;
  std::set<std::string> seeds_;
  std::map<std::string, std::string> settings_;
  std::map<std::string, std::string> seed_of_problem_;
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
