#include "eval/study_store.h"

#include <cstring>
#include <span>
#include <utility>

#include "base/error.h"

namespace fourstep {
namespace {

constexpr int64_t kApplicationId = 0x34737470;  // "4stp": other programs' files are refused
constexpr int64_t kVersion = 1;

constexpr const char* kSchema = R"(
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE arms (arm INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, identity TEXT NOT NULL,
  is_fixed INTEGER NOT NULL, family TEXT NOT NULL) STRICT;
CREATE TABLE problems (problem INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, task TEXT NOT NULL, text TEXT NOT NULL,
  answer TEXT NOT NULL) STRICT;
CREATE TABLE answers (problem INTEGER NOT NULL, sample INTEGER NOT NULL, arm INTEGER NOT NULL, correct INTEGER,
  extracted TEXT NOT NULL, finish TEXT NOT NULL, num_tokens INTEGER NOT NULL, response TEXT NOT NULL,
  PRIMARY KEY (problem, sample, arm)) STRICT;
CREATE TABLE traces (problem INTEGER NOT NULL, sample INTEGER NOT NULL, arm INTEGER NOT NULL, tokens BLOB NOT NULL,
  entropies BLOB NOT NULL, temperatures BLOB NOT NULL, PRIMARY KEY (problem, sample, arm)) STRICT;
)";

void CheckIsStudy(Database& database, const std::string& path) {
  if (database.Int("PRAGMA application_id") != kApplicationId) {
    throw Error(Printable(path, 300), "is no file of `fourstep eval`");
  }
  const int64_t version = database.Int("PRAGMA user_version");
  if (version != kVersion)
    throw Errorf(Printable(path, 300), "has version {}, expected {}", version, kVersion);
}

void Create(Database& database) {
  // The log that commits are appended to: one write an answer, nothing of which a kill can leave half done.
  database.Execute("PRAGMA journal_mode = WAL");
  Transaction transaction(database);
  // Another process may have made it in between.
  if (database.Int("SELECT count(*) FROM sqlite_schema") == 0) {
    database.Execute(kSchema);
    database.Execute(
        fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kApplicationId, kVersion));
  }
  transaction.Commit();
}

template <class T>
std::span<const std::byte> BytesOf(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

template <class T>
std::vector<T> ValuesOf(std::span<const std::byte> bytes, const std::string& where) {
  if (bytes.size() % sizeof(T) != 0) throw Error(Printable(where, 300), "a trace is damaged");
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace

StudyStore::StudyStore(const std::string& path, Database::Mode mode) : path_(path), database_(path, mode) {
  if (mode == Database::Mode::kWrite && database_.Int("SELECT count(*) FROM sqlite_schema") == 0) {
    Create(database_);
  }
  CheckIsStudy(database_, path);
  // After a kill of the process everything committed is there; a power cut may take the last answers, which
  // are then given again, the same.
  database_.Execute("PRAGMA synchronous = NORMAL");
}

void StudyStore::Declare(const std::string& key, const std::string& value) {
  database_.Prepare("INSERT OR IGNORE INTO settings VALUES (?, ?)").Bind(1, key).Bind(2, value).Run();
  const std::string known = Get(key);
  if (known != value) {
    throw Errorf(Printable(path_, 300), "was begun with {} {}, not {}; another study needs another file", key,
                 Printable(known), Printable(value));
  }
}

void StudyStore::Set(const std::string& key, const std::string& value) {
  database_.Prepare("INSERT OR REPLACE INTO settings VALUES (?, ?)").Bind(1, key).Bind(2, value).Run();
}

std::string StudyStore::Get(const std::string& key) {
  Statement statement = database_.Prepare("SELECT value FROM settings WHERE key = ?");
  if (!statement.Bind(1, key).Step()) throw Errorf(Printable(path_, 300), "has no {}", key);
  return statement.Text(0);
}

std::vector<int64_t> StudyStore::AddArms(const std::vector<StudyArm>& arms) {
  Transaction transaction(database_);
  Statement insert =
      database_.Prepare("INSERT OR IGNORE INTO arms (name, identity, is_fixed, family) VALUES (?, ?, ?, ?)");
  Statement find = database_.Prepare("SELECT arm, identity FROM arms WHERE name = ?");
  std::vector<int64_t> indices;
  for (const StudyArm& arm : arms) {
    insert.Bind(1, arm.name).Bind(2, arm.identity).Bind(3, int64_t{arm.is_fixed}).Bind(4, arm.family).Run();
    find.Bind(1, arm.name).Step();
    indices.push_back(find.Int(0));
    if (find.Text(1) != arm.identity) {
      throw Errorf(Printable(path_, 300), "its arm {} is {}, not {}; give this one another name", arm.name,
                   Printable(find.Text(1), 400), Printable(arm.identity, 400));
    }
    find.Run();
  }
  transaction.Commit();
  return indices;
}

std::vector<int64_t> StudyStore::AddProblems(const std::vector<StudyProblem>& problems) {
  Transaction transaction(database_);
  Statement insert =
      database_.Prepare("INSERT OR IGNORE INTO problems (id, task, text, answer) VALUES (?, ?, ?, ?)");
  Statement find = database_.Prepare("SELECT problem, task, text, answer FROM problems WHERE id = ?");
  std::vector<int64_t> indices;
  for (const StudyProblem& problem : problems) {
    insert.Bind(1, problem.id).Bind(2, problem.task).Bind(3, problem.text).Bind(4, problem.answer).Run();
    find.Bind(1, problem.id).Step();
    indices.push_back(find.Int(0));
    if (find.Text(1) != problem.task || find.Text(2) != problem.text || find.Text(3) != problem.answer) {
      throw Errorf(Printable(path_, 300),
                   "holds another problem {} than this one; another study needs another file",
                   Printable(problem.id));
    }
    find.Run();
  }
  transaction.Commit();
  return indices;
}

std::vector<StudyArm> StudyStore::Arms() {
  std::vector<StudyArm> arms;
  Statement rows = database_.Prepare("SELECT name, identity, is_fixed, family FROM arms ORDER BY arm");
  while (rows.Step()) arms.push_back({rows.Text(0), rows.Text(1), rows.Int(2) != 0, rows.Text(3)});
  return arms;
}

std::vector<StudyProblem> StudyStore::Problems() {
  std::vector<StudyProblem> problems;
  Statement rows = database_.Prepare("SELECT id, task, text, answer FROM problems ORDER BY problem");
  while (rows.Step()) problems.push_back({rows.Text(0), rows.Text(1), rows.Text(2), rows.Text(3)});
  return problems;
}

std::set<AnswerKey> StudyStore::AnswerKeys() {
  std::set<AnswerKey> keys;
  Statement rows = database_.Prepare("SELECT arm, problem, sample FROM answers");
  while (rows.Step()) keys.insert({rows.Int(0), rows.Int(1), rows.Int(2)});
  return keys;
}

void StudyStore::AddAnswer(const StoredAnswer& answer, const TokenTrace* trace) {
  Transaction transaction(database_);
  const std::optional<int64_t> correct =
      answer.verdict.correct ? std::optional<int64_t>(*answer.verdict.correct ? 1 : 0) : std::nullopt;
  const auto bind_key = [&](Statement& statement) -> Statement& {
    return statement.Bind(1, answer.key.problem).Bind(2, answer.key.sample).Bind(3, answer.key.arm);
  };
  Statement insert = database_.Prepare("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  bind_key(insert).Bind(4, correct).Bind(5, answer.verdict.extracted).Bind(6, answer.finish);
  insert.Bind(7, answer.num_tokens).Bind(8, answer.response).Run();
  if (trace != nullptr) {
    Statement keep = database_.Prepare("INSERT OR IGNORE INTO traces VALUES (?, ?, ?, ?, ?, ?)");
    bind_key(keep).Bind(4, BytesOf(trace->tokens)).Bind(5, BytesOf(trace->entropies));
    keep.Bind(6, BytesOf(trace->temperatures)).Run();
  }
  transaction.Commit();
}

void StudyStore::ForEachAnswer(bool with_responses, const std::function<void(const StoredAnswer&)>& take) {
  Statement rows = database_.Prepare(
      with_responses
          ? "SELECT problem, sample, arm, correct, extracted, finish, num_tokens, response FROM answers "
            "ORDER BY problem, sample, arm"
          : "SELECT problem, sample, arm, correct, extracted, finish, num_tokens, '' FROM answers "
            "ORDER BY problem, sample, arm");
  while (rows.Step()) {
    StoredAnswer answer;
    answer.key = {.arm = rows.Int(2), .problem = rows.Int(0), .sample = rows.Int(1)};
    if (const std::optional<int64_t> correct = rows.OptionalInt(3)) answer.verdict.correct = *correct != 0;
    answer.verdict.extracted = rows.Text(4);
    answer.finish = rows.Text(5);
    answer.num_tokens = rows.Int(6);
    answer.response = rows.Text(7);
    take(answer);
  }
}

std::optional<TokenTrace> StudyStore::Trace(const AnswerKey& key) {
  Statement row = database_.Prepare(
      "SELECT tokens, entropies, temperatures FROM traces WHERE problem = ? AND sample = ? AND arm = ?");
  if (!row.Bind(1, key.problem).Bind(2, key.sample).Bind(3, key.arm).Step()) return std::nullopt;
  TokenTrace trace{.tokens = ValuesOf<int32_t>(row.Bytes(0), path_),
                   .entropies = ValuesOf<float>(row.Bytes(1), path_),
                   .temperatures = ValuesOf<float>(row.Bytes(2), path_)};
  if (trace.entropies.size() != trace.tokens.size() || trace.temperatures.size() != trace.tokens.size()) {
    throw Error(Printable(path_, 300), "a trace is damaged");
  }
  return trace;
}

}  // namespace fourstep
