#include "checkpoint/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <memory>
#include <stdexcept>

#include "base/check.h"

namespace fourstep {
namespace {

struct KnownPattern {
  std::string_view in_file;  // as tokenizer.json has it
  // With \L, \N and \S for the members of the classes letter, number and white space.
  std::string_view translated;
};

constexpr std::array<KnownPattern, 3> kPatterns = {{
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     R"('s|'t|'re|'ve|'m|'ll|'d| ?[\L]+| ?[\N]+| ?[^\S\L\N]+|[\S]+(?![^\S])|[\S]+)"},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\L\N]?[\L]+|[\N]| ?[^\S\L\N]+[\r\n]*|[\S]*[\r\n]+|[\S]+(?![^\S])|[\S]+)"},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\L\N]?[\L]+|[\N]{1,3}| ?[^\S\L\N]+[\r\n]*|[\S]*[\r\n]+|[\S]+(?![^\S])|[\S]+)"},
}};

// Unicode's White_Space. PCRE2's \s would add U+180E.
constexpr std::string_view kWhiteSpace =
    R"(\x09-\x0D\x20\x85\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// Categories L and N of Unicode 16, which the Hugging Face tokenizer uses: what the library knows (14 in
// Debian 12) and what came since. A newer library knows them already, which does no harm.
constexpr std::string_view kLetters =
    R"(\p{L}\x{1C89}-\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3}\x{10D4A}-\x{10D65})"
    R"(\x{10D6F}-\x{10D85}\x{10EC2}-\x{10EC4}\x{1123F}-\x{11240}\x{11380}-\x{11389}\x{1138B}\x{1138E})"
    R"(\x{11390}-\x{113B5}\x{113B7}\x{113D1}\x{113D3}\x{11BC0}-\x{11BE0}\x{11F02}\x{11F04}-\x{11F10})"
    R"(\x{11F12}-\x{11F33}\x{1342F}\x{13441}-\x{13446}\x{13460}-\x{143FA}\x{16100}-\x{1611D})"
    R"(\x{16D40}-\x{16D6C}\x{18CFF}\x{1B132}\x{1B155}\x{1DF25}-\x{1DF2A}\x{1E030}-\x{1E06D})"
    R"(\x{1E4D0}-\x{1E4EB}\x{1E5D0}-\x{1E5ED}\x{1E5F0}\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})";
constexpr std::string_view kNumbers =
    R"(\p{N}\x{10D40}-\x{10D49}\x{116D0}-\x{116E3}\x{11BF0}-\x{11BF9}\x{11F50}-\x{11F59}\x{16130}-\x{16139})"
    R"(\x{16D70}-\x{16D79}\x{1CCF0}-\x{1CCF9}\x{1D2C0}-\x{1D2D3}\x{1E4F0}-\x{1E4F9}\x{1E5F1}-\x{1E5FA})";

std::string Expand(std::string_view pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const std::string_view two = pattern.substr(i, 2);
    if (two == "\\L") {
      out += kLetters;
    } else if (two == "\\N") {
      out += kNumbers;
    } else if (two == "\\S") {
      out += kWhiteSpace;
    } else {
      out += pattern[i];
      continue;
    }
    ++i;
  }
  return out;
}

using Code = std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)>;
using MatchData = std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)>;
using MatchContext = std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)>;

Code Compile(const KnownPattern& pattern) {
  const std::string expanded = Expand(pattern.translated);
  int error = 0;
  size_t offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expanded.data()), expanded.size(),
                          PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr),
            pcre2_code_free);
  FOURSTEP_CHECK(code != nullptr, "error {} at {} of {}", error, offset, expanded);
  pcre2_jit_compile(code.get(),
                    PCRE2_JIT_COMPLETE);  // without it (a machine that forbids it) matching is slower
  return code;
}

// Compiled once a process: the code is immutable, so all threads share it.
const pcre2_code* CompiledPattern(SplitPattern pattern) {
  static const std::array<Code, 3> codes = {Compile(kPatterns[0]), Compile(kPatterns[1]),
                                            Compile(kPatterns[2])};
  return codes[static_cast<size_t>(pattern)].get();
}

class Matcher {
 public:
  explicit Matcher(const pcre2_code* code)
      : code_(code),
        data_(pcre2_match_data_create(1, nullptr), pcre2_match_data_free),
        context_(pcre2_match_context_create(nullptr), pcre2_match_context_free) {
    if (!data_ || !context_) throw std::bad_alloc();
    // The patterns are fixed and linear; only the interpreter counts, and long runs of spaces would exceed
    // it.
    pcre2_set_match_limit(context_.get(), UINT32_MAX);
  }

  struct Range {
    size_t begin, end;
  };
  // The first match at or after `start`; none: {size, size}.
  Range Next(std::string_view text, size_t start) {
    int status = Run(text, start, PCRE2_NO_UTF_CHECK);
    if (status == PCRE2_ERROR_JIT_STACKLIMIT) status = Run(text, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
    if (status == PCRE2_ERROR_NOMATCH) return {text.size(), text.size()};
    if (status < 0) throw std::runtime_error(fmt::format("splitting text failed: PCRE2 error {}", status));
    const size_t* range = pcre2_get_ovector_pointer(data_.get());
    FOURSTEP_CHECK(range[0] >= start && range[1] > range[0] && range[1] <= text.size());
    return {range[0], range[1]};
  }

 private:
  int Run(std::string_view text, size_t start, uint32_t options) {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start, options,
                       data_.get(), context_.get());
  }

  const pcre2_code* code_;
  MatchData data_;
  MatchContext context_;
};

}  // namespace

std::optional<SplitPattern> FindSplitPattern(std::string_view regex) {
  for (size_t i = 0; i < kPatterns.size(); ++i) {
    if (kPatterns[i].in_file == regex) return static_cast<SplitPattern>(i);
  }
  return std::nullopt;
}

void SplitByPattern(SplitPattern pattern, std::string_view text, std::vector<std::string_view>& pieces) {
  Matcher matcher(CompiledPattern(pattern));
  size_t pos = 0;
  while (pos < text.size()) {
    const Matcher::Range match = matcher.Next(text, pos);
    // The patterns match every character; were one left out, it would be a piece of its own.
    if (match.begin > pos) pieces.push_back(text.substr(pos, match.begin - pos));
    if (match.end > match.begin) pieces.push_back(text.substr(match.begin, match.end - match.begin));
    pos = match.end;
  }
}

}  // namespace fourstep
