#include "eval/sqlite.h"

#include <sqlite3.h>

#include <stdexcept>
#include <utility>

#include "base/error.h"

namespace fourstep {
namespace {

constexpr int kPatienceMs = 10'000;  // for another process that writes

[[noreturn]] void Throw(const std::string& path, int code, const char* message) {
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_INTERNAL:
      throw std::runtime_error(fmt::format("{}: {}", path, message));
    case SQLITE_NOTADB:
      throw Error(Printable(path, 300), "is no database of SQLite");
    default:
      throw Error(Printable(path, 300), Printable(message, 200));
  }
}

void Check(sqlite3* database, const std::string& path, int code) {
  if (code != SQLITE_OK) Throw(path, code, sqlite3_errmsg(database));
}

}  // namespace

Statement::Statement(sqlite3* database, const std::string& path, std::string_view sql)
    : database_(database), path_(path) {
  Check(database, path,
        sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr));
}

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      path_(std::move(other.path_)) {}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

Statement& Statement::Bind(int parameter, int64_t value) {
  Check(database_, path_, sqlite3_bind_int64(statement_, parameter, value));
  return *this;
}

Statement& Statement::Bind(int parameter, std::optional<int64_t> value) {
  if (value) return Bind(parameter, *value);
  Check(database_, path_, sqlite3_bind_null(statement_, parameter));
  return *this;
}

Statement& Statement::Bind(int parameter, std::string_view text) {
  Check(database_, path_,
        sqlite3_bind_text64(statement_, parameter, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::Bind(int parameter, std::span<const std::byte> bytes) {
  Check(database_, path_,
        sqlite3_bind_blob64(statement_, parameter, bytes.data(), bytes.size(), SQLITE_TRANSIENT));
  return *this;
}

bool Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  sqlite3_reset(statement_);
  if (code != SQLITE_DONE) Throw(path_, code, sqlite3_errmsg(database_));
  return false;
}

void Statement::Run() {
  while (Step()) {
  }
}

int64_t Statement::Int(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::optional<int64_t> Statement::OptionalInt(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return Int(column);
}

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_, column);
  if (text == nullptr) return "";
  return {reinterpret_cast<const char*>(text), static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

std::span<const std::byte> Statement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  return {static_cast<const std::byte*>(bytes),
          static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

Database::Database(const std::string& path, Mode mode) : path_(path) {
  // Reading after a kill means recovering what was committed, which writes; a file that may not be written is
  // read.
  const int flags = SQLITE_OPEN_READWRITE | (mode == Mode::kRead ? 0 : SQLITE_OPEN_CREATE);
  const int code = sqlite3_open_v2(path.c_str(), &database_, flags, nullptr);
  if (code != SQLITE_OK) {
    const std::string message = database_ == nullptr ? "no memory" : sqlite3_errmsg(database_);
    sqlite3_close(database_);
    Throw(path, code, message.c_str());
  }
  sqlite3_busy_timeout(database_, kPatienceMs);
  sqlite3_extended_result_codes(database_, 1);
  // The file may come from elsewhere: its schema may not run code, its damage must be noticed.
  sqlite3_db_config(database_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(database_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(database_, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
}

Database::~Database() {
  sqlite3_close(database_);
}

void Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) Throw(path_, code, sqlite3_errmsg(database_));
}

Statement Database::Prepare(std::string_view sql) {
  return Statement(database_, path_, sql);
}

int64_t Database::Int(std::string_view sql) {
  Statement statement = Prepare(sql);
  return statement.Step() ? statement.Int(0) : 0;
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.Execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!is_open_) return;
  try {
    database_.Execute("ROLLBACK");
  } catch (const std::exception&) {  // it was undone already by what failed
  }
}

void Transaction::Commit() {
  database_.Execute("COMMIT");
  is_open_ = false;
}

}  // namespace fourstep
