// A database file, through SQLite.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace fourstep {

// One prepared statement; parameters are numbered from 1, columns from 0. Everything throws as Database does.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  Statement& Bind(int parameter, int64_t value);
  Statement& Bind(int parameter, std::optional<int64_t> value);
  Statement& Bind(int parameter, std::string_view text);  // copied
  Statement& Bind(int parameter, std::span<const std::byte> bytes);

  bool Step();  // to the next row; false at the end, after which it can be bound and run again
  void Run();   // to the end, for statements without rows

  int64_t Int(int column) const;
  std::optional<int64_t> OptionalInt(int column) const;
  std::string Text(int column) const;
  std::span<const std::byte> Bytes(int column) const;  // until the next Step

 private:
  friend class Database;
  Statement(sqlite3* database, const std::string& path, std::string_view sql);

  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  std::string path_;
};

class Database {
 public:
  enum class Mode { kRead, kWrite };  // kWrite: made where it is missing

  // Throws Error (naming the file) where it cannot be opened, is no database, is damaged or in use, and
  // std::runtime_error where the machine fails: a full disk, a lack of memory.
  Database(const std::string& path, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void Execute(const std::string& sql);  // statements without parameters or rows
  Statement Prepare(std::string_view sql);
  int64_t Int(std::string_view sql);  // the one value of a query, 0 where there is no row

 private:
  std::string path_;
  sqlite3* database_ = nullptr;
};

// All or nothing: undone by the destructor unless Commit was called.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void Commit();

 private:
  Database& database_;
  bool is_open_ = true;
};

}  // namespace fourstep
