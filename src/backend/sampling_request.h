// All that one answer asks of the sampler: numbers, and what does not fit plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/token_record.h"

namespace fourstep {

// Added to a token's logit. kBan forbids the token.
struct TokenBias {
  int32_t token = -1;
  float bias = 0;
};
inline constexpr float kMaxBias = 100, kBan = -100;

// Which tokens may follow. Every token drawn moves a state on; tokens whose columns of the table would be
// equal are of one class.
struct TokenAutomaton {
  int32_t num_states = 0, num_classes = 0;
  std::vector<uint16_t> token_class;  // [num_tokens]; tokens beyond are forbidden
  std::vector<int32_t> next_state;    // [num_states, num_classes], -1: forbidden
};

struct SamplingRequest {
  SamplingParams params = {};
  std::vector<TokenBias> bias = {};                      // ascending tokens, each once
  std::shared_ptr<const TokenAutomaton> automaton = {};  // null: every token may follow
  int32_t automaton_state = 0;                           // in which the answer begins

  // Whether the sampler must know which tokens the prompt and the answer have, or which are biased.
  bool has_notes() const {
    return params.repetition_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0 ||
           !bias.empty();
  }
};

}  // namespace fourstep
