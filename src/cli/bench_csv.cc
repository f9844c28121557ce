#include "cli/bench_csv.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <vector>

#include "base/error.h"
#include "cli/build_commit.h"
#include "runtime/backends.h"

namespace fourstep::cli {
namespace {

std::string Quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string Line(const std::vector<std::string>& fields) {
  std::string line;
  for (const std::string& field : fields) line += (line.empty() ? "" : ",") + Quoted(field);
  return line;
}

std::string Field(const Json& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : DumpJson(value);
}

}  // namespace

BenchCsv::BenchCsv(const std::string& path, const std::string& backend, const BenchRow& example)
    : path_(path) {
  if (path.empty()) return;
  std::vector<std::string> columns = {"date", "commit", "backend", "core_mhz", "memory_mhz"};
  for (const auto& [name, value] : example) columns.push_back(name);
  const std::string header = Line(columns);
  std::string first;
  std::error_code ignored;
  const bool is_old = std::filesystem::exists(path, ignored) && !std::filesystem::is_empty(path, ignored);
  if (is_old && (!std::getline(std::ifstream(path), first) || first != header))
    throw Errorf(Printable(path),
                 "begins with other columns than this command's results have: name a new file");
  file_.open(path, std::ios::app);
  if (!file_ || (!is_old && !(file_ << header << std::endl)))
    throw Error(Printable(path), "cannot be written to");
  if (const std::optional<DeviceClocks> clocks = MaxDeviceClocks(backend)) {
    core_mhz_ = std::to_string(clocks->core_mhz);
    memory_mhz_ = std::to_string(clocks->memory_mhz);
  }
}

void BenchCsv::Append(const std::string& device, const BenchRow& row) {
  if (path_.empty()) return;
  const std::string date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  std::vector<std::string> fields = {date, std::string(BuildCommit()), device, core_mhz_, memory_mhz_};
  for (const auto& [name, value] : row) fields.push_back(Field(value));
  if (!(file_ << Line(fields) << std::endl))
    throw std::runtime_error(Printable(path_) + " cannot be written to");
}

}  // namespace fourstep::cli
