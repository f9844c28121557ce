#include "runtime/answer_patterns.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "grammar/byte_automaton.h"
#include "grammar/regex.h"

namespace fourstep {
namespace {

constexpr size_t kMaxKept = 16;

struct Pattern {
  std::string text, where;
};

// Nothing where the answer is free.
std::optional<Pattern> PatternOf(const Sampling& sampling) {
  if (!sampling.choices.empty() && !sampling.regex.empty())
    throw Error("choices", "stand beside a regex: expected one or the other");
  if (!sampling.regex.empty()) return Pattern{sampling.regex, "regex"};
  if (sampling.choices.empty()) return std::nullopt;
  for (const std::string& choice : sampling.choices) {
    if (choice.empty()) throw Error("choices", "one of them is empty");
  }
  return Pattern{ChoicePattern(sampling.choices), "choices"};
}

ByteAutomaton BytesOf(const std::string& pattern, const std::string& where) {
  return BuildByteAutomaton(ParseRegex(pattern, where), where);
}

}  // namespace

void CheckPattern(const Sampling& sampling) {
  if (const auto pattern = PatternOf(sampling)) (void)BytesOf(pattern->text, pattern->where);
}

void AnswerPatterns::Set(const Sampling& sampling, Begin begin, SamplingRequest& to) {
  const auto pattern = PatternOf(sampling);
  if (!pattern) return;
  const Built built = Find(pattern->text, pattern->where);
  to.automaton = std::shared_ptr<const TokenAutomaton>(built, &built->automaton);
  to.automaton_state = built->text_state;
  if (control_.think_open && begin == Begin::kThinking) to.automaton_state = built->thinking_state;
  if (control_.think_open && begin == Begin::kEither) to.automaton_state = built->open_state;
}

AnswerPatterns::Built AnswerPatterns::Find(const std::string& pattern, const std::string& where) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.pattern == pattern; });
  if (found != kept_.end()) {
    Kept kept = std::move(*found);
    kept_.erase(found);
    kept_.push_front(std::move(kept));
    return kept_.front().built;
  }
  if (!trie_) MakeTrie();
  const GrammarTokens tokens{control_.stop, control_.think_open, control_.think_close};
  Built built = std::make_shared<const BuiltTokenAutomaton>(
      BuildTokenAutomaton(BytesOf(pattern, where), *trie_, tokens, where));
  kept_.push_front({pattern, built});
  if (kept_.size() > kMaxKept) kept_.pop_back();
  return built;
}

// Special tokens write nothing.
void AnswerPatterns::MakeTrie() {
  std::vector<std::string_view> bytes;
  for (int32_t id = 0; id < num_tokens_; ++id)
    bytes.push_back(tokenizer_.IsSpecial(id) ? std::string_view() : tokenizer_.TokenBytes(id));
  trie_.emplace(bytes);
}

}  // namespace fourstep
