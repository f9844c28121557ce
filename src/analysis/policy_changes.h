// What a policy did beside a fixed temperature on the same problems with the same random numbers: where it
// drew hotter or colder, where answers part for the first time, and what came of that.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "analysis/answer_steps.h"
#include "analysis/token_kind.h"
#include "base/json.h"

namespace fourstep {

// Of the tokens of a group: the shares drawn above and below the fixed temperature.
struct TemperatureShares {
  std::string name;
  int64_t num_tokens = 0;
  double raised = 0, lowered = 0;
};

// Pairs of answers, by how the policy had drawn the token at which they part.
struct PartedAnswers {
  int64_t num_parted = 0;
  int64_t num_mended = 0;  // wrong under the fixed temperature, right under the policy
  int64_t num_broken = 0;  // the other way round
};

struct PolicyChanges {
  std::vector<TemperatureShares>
      by_decile;  // of the entropies of the policy's own answers, most certain first
  std::vector<TemperatureShares> by_kind;
  int64_t num_pairs = 0, num_equal = 0;  // pairs of answers; those that are equal to the last token
  PartedAnswers at_raised, at_lowered, at_same;
};

// `fixed` and `policy` are answers to the same problems and samples, in the same order.
PolicyChanges ChangesOf(const Tokenizer& tokenizer, std::span<const TracedAnswer> fixed,
                        std::span<const TracedAnswer> policy);

Json PolicyChangesJson(const PolicyChanges& changes);
std::string PolicyChangesText(const PolicyChanges& changes);

}  // namespace fourstep
