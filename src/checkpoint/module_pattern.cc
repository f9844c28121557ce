#include "checkpoint/module_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

namespace fourstep {
namespace {

constexpr size_t kMaxPatternBytes = 4096;
constexpr std::string_view kRegexPrefix = "re:";
// Real patterns need some dozens; backtracking without end is a hostile one.
constexpr uint32_t kMaxMatchSteps = 20'000;

// `*` is any text, `?` any one byte. Linear memory, and no worse than |pattern| * |text| steps: only the last
// star is ever retried.
bool MatchesWildcard(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = pattern.npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

ModulePattern::ModulePattern(std::string text, bool allow_regex, const std::string& where)
    : text_(std::move(text)), where_(where) {
  if (text_.size() > kMaxPatternBytes) {
    throw Errorf(where, "a pattern of {} bytes, at most {} are read", text_.size(), kMaxPatternBytes);
  }
  if (!allow_regex || !text_.starts_with(kRegexPrefix)) return;
  const std::string_view regex = std::string_view(text_).substr(kRegexPrefix.size());
  int error = 0;
  size_t offset_bytes = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                    PCRE2_UTF | PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C, &error, &offset_bytes, nullptr);
  if (code == nullptr) {
    throw Errorf(where, "\"{}\" is no regular expression, at byte {}", Printable(text_),
                 offset_bytes + kRegexPrefix.size());
  }
  regex_ = std::shared_ptr<void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
}

bool ModulePattern::Matches(std::string_view module) const {
  if (regex_ == nullptr) return MatchesWildcard(text_, module);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMaxMatchSteps);
  const int status =
      pcre2_match(static_cast<const pcre2_code*>(regex_.get()), reinterpret_cast<PCRE2_SPTR>(module.data()),
                  module.size(), 0, 0, data.get(), context.get());
  if (status < 0 && status != PCRE2_ERROR_NOMATCH) {
    throw Errorf(where_, "\"{}\" cannot be matched with \"{}\": PCRE2 error {}", Printable(text_),
                 Printable(module), status);
  }
  return status >= 0;
}

}  // namespace fourstep
