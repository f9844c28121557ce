// The file of a study: what was asked of whom, and every answer, in SQLite. An answer is in it whole or not
// at all, whatever happens to the process, and never twice.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "eval/answer_source.h"
#include "eval/sqlite.h"
#include "eval/task.h"

namespace fourstep {

struct StudyProblem {
  std::string id;      // unique in the study, and the same whenever it is loaded
  std::string task;    // its name
  std::string text;    // the user's turn
  std::string answer;  // the recorded one
};

struct StudyArm {
  std::string name;
  std::string identity;   // JSON of everything that its answers depend on: model, numerics, policy
  bool is_fixed = false;  // one temperature for all tokens
  std::string family;     // arms of one family differ in their policy alone
};

// Which answer; indices of the store.
struct AnswerKey {
  int64_t arm = 0, problem = 0, sample = 0;
  friend auto operator<=>(const AnswerKey&, const AnswerKey&) = default;
};

struct StoredAnswer {
  AnswerKey key;
  std::string response;
  Verdict verdict;
  std::string finish;  // "stop", "length"
  int64_t num_tokens = 0;
};

class StudyStore {
 public:
  // Opens a study, or makes one where `mode` is kWrite. Throws Error where the file is not one.
  StudyStore(const std::string& path, Database::Mode mode);

  // A setting that all answers depend on ("seed"). The first run decides it; throws Error naming both values
  // where a later one differs.
  void Declare(const std::string& key, const std::string& value);
  // A setting that the latest run decides ("samples").
  void Set(const std::string& key, const std::string& value);
  std::string Get(const std::string& key);  // throws Error where it was never set

  // Their indices; those that are known already must be the same. Throws Error naming what differs.
  std::vector<int64_t> AddArms(const std::vector<StudyArm>& arms);
  std::vector<int64_t> AddProblems(const std::vector<StudyProblem>& problems);

  // In the order of their indices, which count from 1.
  std::vector<StudyArm> Arms();
  std::vector<StudyProblem> Problems();

  std::set<AnswerKey> AnswerKeys();
  void AddAnswer(const StoredAnswer& answer, const TokenTrace* trace);  // trace may be null
  // In the order of problem, sample, arm; `with_responses` false leaves the responses empty.
  void ForEachAnswer(bool with_responses, const std::function<void(const StoredAnswer&)>& take);
  // Nothing where none was kept. Throws Error where it is damaged.
  std::optional<TokenTrace> Trace(const AnswerKey& key);

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  Database database_;
};

}  // namespace fourstep
