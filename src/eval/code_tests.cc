#include "eval/code_tests.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "eval/answer.h"
#include "eval/packed_text.h"

namespace fourstep {
namespace {

constexpr size_t kMaxUnpackedBytes = size_t{256} << 20;

void AppendTests(const Json& array, const std::string& where, std::vector<CodeTest>& tests) {
  if (!array.is_array()) throw Error(where, "is no array of tests");
  for (const Json& entry : array) {
    const JsonReader reader(entry, where);
    tests.push_back({reader.String("input"), reader.String("output")});
  }
}

std::string Unpack(std::string_view packed, const std::string& where) {
  if (TrimBlanks(packed).starts_with('[')) return std::string(packed);
  return UnpickleString(Inflate(DecodeBase64(packed, where), kMaxUnpackedBytes, where), where);
}

std::vector<std::string_view> Split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    parts.push_back(TrimBlanks(text.substr(0, end)));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

// A decimal number in one spelling: -12.50 and -1.25e1 are "-125e-1". Nothing where it is none.
std::optional<std::string> CanonicalDecimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::string digits;
  int64_t exponent = 0;
  bool has_point = false, has_digit = false;
  size_t i = 0;
  for (; i < text.size() && text[i] != 'e' && text[i] != 'E'; ++i) {
    if (text[i] == '.' && !has_point) {
      has_point = true;
      continue;
    }
    if (text[i] < '0' || text[i] > '9') return {};
    has_digit = true;
    if (!digits.empty() || text[i] != '0') digits += text[i];
    if (has_point) --exponent;
  }
  if (!has_digit) return {};
  if (i < text.size()) {
    const std::optional<int64_t> written = ParseInteger(text.substr(i + 1));
    if (!written || *written > 1'000'000'000 || *written < -1'000'000'000) return {};
    exponent += *written;
  }
  if (digits.empty()) return "0";
  while (digits.ends_with('0')) {
    digits.pop_back();
    ++exponent;
  }
  return fmt::format("{}{}e{}", negative ? "-" : "", digits, exponent);
}

bool SameLine(std::string_view wanted, std::string_view given) {
  if (wanted == given) return true;
  const auto words = [](std::string_view line) {
    std::vector<std::string_view> parts = Split(line, " \t");
    std::erase_if(parts, [](std::string_view part) { return part.empty(); });
    return parts;
  };
  const std::vector<std::string_view> a = words(wanted), b = words(given);
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](std::string_view x, std::string_view y) {
    const std::optional<std::string> value = CanonicalDecimal(x);
    return value && value == CanonicalDecimal(y);
  });
}

}  // namespace

CodeTests ParseCodeTests(std::string_view text, const std::string& where) {
  const Json parsed = ParseJson(text, where);
  const JsonReader reader(parsed, where);
  CodeTests result{.function = reader.StringOr("function", ""), .tests = {}};
  if (reader.Has("tests")) AppendTests(reader.Get("tests"), where, result.tests);
  if (reader.Has("packed")) {
    AppendTests(ParseJson(Unpack(reader.String("packed"), where), where), where, result.tests);
  }
  if (result.tests.empty()) throw Error(where, "has no test");
  return result;
}

bool SameOutput(std::string_view wanted, std::string_view given) {
  const std::vector<std::string_view> a = Split(TrimBlanks(wanted), "\n"), b = Split(TrimBlanks(given), "\n");
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), SameLine);
}

}  // namespace fourstep
