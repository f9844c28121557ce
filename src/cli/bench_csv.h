// A CSV file (RFC 4180) that benchmarks append their results to: what was measured when, of which code, on
// what.
#pragma once

#include <fstream>
#include <string>

#include "cli/bench_row.h"

namespace fourstep::cli {

class BenchCsv {
 public:
  // Writes the columns where the file is new: date (UTC), commit, backend, core_mhz, memory_mhz (a device's
  // highest rates; else empty), then those of `example`, whose values do not matter. Without a path nothing
  // is written. Throws Error where the file cannot be written or has other columns.
  BenchCsv(const std::string& path, const std::string& backend, const BenchRow& example);

  // `device`: the backend's name for itself. Throws std::runtime_error where the row cannot be written.
  void Append(const std::string& device, const BenchRow& row);

 private:
  std::string path_, core_mhz_, memory_mhz_;
  std::ofstream file_;
};

}  // namespace fourstep::cli
