// Two models read the same text: where their next-token distributions part.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "analysis/distribution.h"
#include "analysis/forced_reader.h"
#include "analysis/token_kind.h"

namespace fourstep {

// An answer and what the model saw before it.
struct AnswerText {
  std::vector<int32_t> prompt, answer;
};

// At one token of an answer: the reference's distribution p and the quantised model's q of it, both after the
// same tokens.
struct TokenComparison {
  int32_t text = 0, position = 0;  // index of the text; of the token in its answer
  TokenKind kind = TokenKind::kOther;
  bool is_flip = false;                                     // the likeliest tokens differ
  double kl = 0;                                            // KL(p || q), nats
  double reference_entropy = 0, quantised_entropy = 0;      // nats
  double reference_best_mass = 0, quantised_best_mass = 0;  // of each one's own likeliest token
  // The mass beside p's likeliest token at each of kMassTemperatures: what a draw gets wrong by the
  // reference's measure.
  std::array<double, kMassTemperatures.size()> reference_beside = {}, quantised_beside = {};
};

// Of every token of every answer. Both readers must have the same vocabulary and room for the texts.
// `progress` is called with the texts read.
std::vector<TokenComparison> CompareOnTexts(ForcedReader& reference, ForcedReader& quantised,
                                            const Tokenizer& tokenizer, std::span<const AnswerText> texts,
                                            const std::function<void(size_t)>& progress);

}  // namespace fourstep
