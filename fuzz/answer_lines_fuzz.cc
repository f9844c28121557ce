// What `fourstep run --batch` and `fourstep tasks compare` read: lines of problems, lines of verdicts. What
// is taken is consistent, what is refused is an Error.
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "cli/batch.h"
#include "eval/comparison.h"

namespace {

void ReadProblems(const std::string& text) {
  std::istringstream input(text);
  for (const fourstep::cli::BatchLine& line : fourstep::cli::ReadBatch(input, "input")) {
    FOURSTEP_CHECK(!line.text.empty() && line.line.is_object());
  }
}

void CompareVerdicts(const std::string& text) {
  std::istringstream input(text);
  fourstep::Arm arm = fourstep::ReadArm("a", input, "input");
  fourstep::Arm same = arm;
  same.name = "b";
  const fourstep::Comparison comparison = fourstep::CompareArms(std::vector{arm, same});
  FOURSTEP_CHECK(comparison.pairs.at(0).difference.mean == 0 && comparison.pairs[0].p_value == 1);
  FOURSTEP_CHECK(comparison.all.num_problems == static_cast<int64_t>(arm.answers.size()));
  (void)fourstep::ComparisonText(comparison);
  (void)fourstep::DumpJson(fourstep::ComparisonJson(comparison));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (void (*read)(const std::string&) : {ReadProblems, CompareVerdicts}) {
    try {
      read(text);
    } catch (const fourstep::Error&) {
    }
  }
  return 0;
}
