// Feeds two answers, parted by byte 0x1e, to the judge of mathematical equality.
//
// Beyond not crashing: what has a spelling says the same as itself, and the verdict does not depend on which
// of the two is the right one, but for words.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "eval/math_answer.h"
#include "eval/math_equality.h"

using fourstep::MathAnswer;
using fourstep::SaysTheSame;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const std::string_view text(reinterpret_cast<const char*>(data), size_bytes);
  const size_t end = std::min(text.find('\x1e'), text.size());
  const std::string_view answer = text.substr(0, end);
  const std::string_view given = text.substr(std::min(end + 1, text.size()));
  const MathAnswer read = fourstep::ReadMathAnswer(answer), other = fourstep::ReadMathAnswer(given);
  if (!read.spelling.empty()) FOURSTEP_CHECK(SaysTheSame(answer, answer, ""));
  const bool same = SaysTheSame(answer, given, "");
  FOURSTEP_CHECK(SaysTheSame(answer, " " + std::string(given) + " ", "") == same);
  if (read.kind != MathAnswer::Kind::kText && other.kind != MathAnswer::Kind::kText) {
    FOURSTEP_CHECK(SaysTheSame(given, answer, "") == same);
  }
  return 0;
}
