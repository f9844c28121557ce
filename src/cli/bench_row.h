// One result of a benchmark as --json prints it and --csv appends it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace fourstep::cli {

// Names and values in the order of the columns. Values are texts, numbers, or null where there is none.
using BenchRow = std::vector<std::pair<std::string, Json>>;

inline Json ToJson(const BenchRow& row) {
  Json object = Json::object();
  for (const auto& [name, value] : row) object[name] = value;
  return object;
}

}  // namespace fourstep::cli
