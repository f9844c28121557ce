// Files that published problems come in: JSON lines, one JSON array, or CSV.
#pragma once

#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace fourstep {

// One problem as its file has it: a JSON object; of CSV, the columns' names and texts.
class PublishedRow {
 public:
  // `where` names the file and the place in it.
  PublishedRow(const Json& object, std::string where) : reader_(object, std::move(where)) {}

  // The first of these fields that is there. Text() takes integers too, as their digits. Throws Error where
  // there is none, or it is of another type.
  const Json& Get(std::initializer_list<const char*> names) const;
  std::string Text(std::initializer_list<const char*> names) const;
  bool Has(std::initializer_list<const char*> names) const;
  // "id", "unique_id", "question_id", "Record ID" ..., or else `fallback`.
  std::string IdOr(const std::string& fallback) const;

  Error Fault(std::string_view what) const { return {reader_.where(), what}; }
  const std::string& where() const { return reader_.where(); }

 private:
  JsonReader reader_;
};

// Hands every row to `sink`, in order, with its number from 1. Throws Error (naming the file and the line)
// where the file cannot be read, is no such file, or has no row; where it is Parquet, says how to convert it.
using RowSink = std::function<void(const PublishedRow& row, int64_t number)>;
void ReadPublishedFile(const std::filesystem::path& path, const RowSink& sink);

// The same of a text already read. `where` names it.
void ReadPublishedRows(std::string_view text, const std::string& where, const RowSink& sink);

}  // namespace fourstep
