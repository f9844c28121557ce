#include "eval/published_file.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "eval/answer.h"

namespace fourstep {
namespace {

constexpr size_t kMaxColumns = 1000;

// Records of RFC 4180: fields parted by commas, in quotes where they hold commas, quotes (doubled) or ends of
// lines.
class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& where) : rest_(text), where_(where) {}

  // False at the end. Blank lines are passed over.
  bool Read(std::vector<std::string>& fields) {
    while (rest_.starts_with('\n') || rest_.starts_with("\r\n")) EndLine();
    if (rest_.empty()) return false;
    fields.clear();
    line_of_record_ = line_;
    do {
      if (fields.size() == kMaxColumns) throw Fault("more than 1000 columns");
      fields.push_back(Field());
    } while (Take(','));
    if (!rest_.empty() && !EndLine())
      throw Fault("a quote is followed by neither a comma nor the line's end");
    return true;
  }

  int64_t line_of_record() const { return line_of_record_; }

 private:
  Error Fault(std::string_view what) const {
    return Errorf(fmt::format("{}: line {}", where_, line_), "{}", what);
  }

  bool Take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool EndLine() {
    if (rest_.starts_with("\r\n")) rest_.remove_prefix(1);
    if (!Take('\n')) return false;
    ++line_;
    return true;
  }

  std::string Field() {
    if (!Take('"')) {
      const std::string_view field = rest_.substr(0, std::min(rest_.find_first_of(",\r\n"), rest_.size()));
      rest_.remove_prefix(field.size());
      return std::string(field);
    }
    std::string field;
    for (;;) {
      const size_t end = rest_.find('"');
      if (end == rest_.npos) throw Fault("a quote does not end");
      field += rest_.substr(0, end);
      line_ += std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(end), '\n');
      rest_.remove_prefix(end + 1);
      if (!Take('"')) return field;
      field += '"';
    }
  }

  std::string_view rest_;
  const std::string& where_;
  int64_t line_ = 1, line_of_record_ = 1;
};

void ReadCsv(std::string_view text, const std::string& where, const RowSink& sink) {
  CsvReader reader(text, where);
  std::vector<std::string> names, fields;
  if (!reader.Read(names)) return;
  for (int64_t number = 1; reader.Read(fields); ++number) {
    const std::string place = fmt::format("{}: line {}", where, reader.line_of_record());
    if (fields.size() != names.size()) {
      throw Errorf(place, "has {} fields, expected {} as in the first line", fields.size(), names.size());
    }
    Json row = Json::object();
    for (size_t i = 0; i < names.size(); ++i) row[names[i]] = ReplaceInvalidUtf8(fields[i]);
    sink(PublishedRow(row, place), number);
  }
}

void ReadLines(std::string_view text, const std::string& where, const RowSink& sink) {
  int64_t line_number = 0, number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string place = fmt::format("{}: line {}", where, ++line_number);
    if (TrimBlanks(line).empty()) continue;
    const Json row = ParseJson(line, place);
    sink(PublishedRow(row, place), ++number);
  }
}

void ReadArray(std::string_view text, const std::string& where, const RowSink& sink) {
  const Json rows = ParseJson(text, where);
  int64_t number = 0;
  for (const Json& row : rows) {
    ++number;
    sink(PublishedRow(row, fmt::format("{}: entry {}", where, number)), number);
  }
}

}  // namespace

bool PublishedRow::Has(std::initializer_list<const char*> names) const {
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return reader_.Has(name); });
}

const Json& PublishedRow::Get(std::initializer_list<const char*> names) const {
  const auto name = std::find_if(names.begin(), names.end(), [&](const char* n) { return reader_.Has(n); });
  if (name == names.end()) throw Errorf(where(), "has no \"{}\"", fmt::join(names, "\" and no \""));
  return reader_.Get(*name);
}

std::string PublishedRow::Text(std::initializer_list<const char*> names) const {
  const Json& value = Get(names);
  if (value.is_number_integer()) return value.dump();
  if (!value.is_string()) throw Errorf(where(), "\"{}\" is no text", *names.begin());
  return value.get<std::string>();
}

std::string PublishedRow::IdOr(const std::string& fallback) const {
  static constexpr std::initializer_list<const char*> kNames = {"id",          "ID",         "unique_id",
                                                                "question_id", "problem_id", "Record ID"};
  return Has(kNames) ? Text(kNames) : fallback;
}

void ReadPublishedRows(std::string_view text, const std::string& where, const RowSink& sink) {
  if (text.starts_with("PAR1")) {
    throw Error(where,
                "is Parquet, expected JSON lines, a JSON array or CSV; in Python, "
                "pandas.read_parquet(FILE).to_json(OUT, orient=\"records\", lines=True) converts it");
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const std::string_view content = TrimBlanks(text);
  int64_t num_rows = 0;
  const RowSink counted = [&](const PublishedRow& row, int64_t number) {
    ++num_rows;
    sink(row, number);
  };
  if (content.starts_with('{')) {
    ReadLines(text, where, counted);
  } else if (content.starts_with('[')) {
    ReadArray(text, where, counted);
  } else {
    ReadCsv(text, where, counted);
  }
  if (num_rows == 0) throw Error(where, "has no problem, expected JSON lines, a JSON array or CSV");
}

void ReadPublishedFile(const std::filesystem::path& path, const RowSink& sink) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  ReadPublishedRows(text, Printable(path.string(), 300), sink);
}

}  // namespace fourstep
