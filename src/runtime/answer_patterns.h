// AnswerPatterns: from the pattern of a request to the automaton that the sampler follows.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "backend/sampling_request.h"
#include "checkpoint/tokenizer.h"
#include "fourstep/engine.h"
#include "grammar/token_automaton_builder.h"
#include "grammar/token_trie.h"
#include "runtime/answer.h"

namespace fourstep {

// Members may be called from several threads.
class AnswerPatterns {
 public:
  // `tokenizer` and `control` must outlive it. Tokens from `num_tokens` on are never drawn.
  AnswerPatterns(const Tokenizer& tokenizer, const ControlTokens& control, int32_t num_tokens)
      : tokenizer_(tokenizer), control_(control), num_tokens_(num_tokens) {}

  // How an answer begins.
  enum class Begin { kText, kThinking, kEither };

  // Sets the automaton of `to` where `sampling` has a regex or choices. Requests of one pattern share their
  // automaton, and the latest patterns are kept. Throws Error naming the field.
  void Set(const Sampling& sampling, Begin begin, SamplingRequest& to);

 private:
  using Built = std::shared_ptr<const BuiltTokenAutomaton>;

  Built Find(const std::string& pattern, const std::string& where);
  void MakeTrie();

  const Tokenizer& tokenizer_;
  const ControlTokens& control_;
  const int32_t num_tokens_;
  std::mutex mutex_;               // for what follows
  std::optional<TokenTrie> trie_;  // once there is a pattern
  struct Kept {
    std::string pattern;
    Built built;
  };
  std::deque<Kept> kept_;  // the latest first
};

// Throws Error naming the field where `sampling` has a pattern that no vocabulary could follow.
void CheckPattern(const Sampling& sampling);

}  // namespace fourstep
