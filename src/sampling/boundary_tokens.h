// What the sampler must know of a tokenizer: which ids end reasoning steps, and how many ids may be drawn.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "sampling/reset_policy.h"

namespace fourstep {

class BoundaryTokens {
 public:
  // No boundaries; every id may be drawn.
  BoundaryTokens() = default;

  // Ids below 0 name nothing and are ignored. An id in both lists contains a blank line. Ids from
  // `num_drawable` on (padding of the vocabulary) are never drawn; more than there are logits means all of
  // them.
  BoundaryTokens(std::span<const int32_t> contains_blank_line, std::span<const int32_t> is_newline,
                 int32_t num_drawable)
      : num_drawable_(num_drawable) {
    for (const int32_t id : is_newline) Set(id, TokenClass::kNewline);
    for (const int32_t id : contains_blank_line) Set(id, TokenClass::kBlankLine);
  }

  TokenClass ClassOf(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < classes_.size() ? classes_[static_cast<size_t>(id)]
                                                                : TokenClass::kOther;
  }
  int32_t num_drawable() const { return num_drawable_; }
  // [highest boundary id + 1], one byte an id; ids beyond are kOther. What a device copies.
  std::span<const TokenClass> classes() const { return classes_; }

 private:
  void Set(int32_t id, TokenClass token_class) {
    if (id < 0 || id >= num_drawable_) return;  // never drawn, so that its class has no meaning
    const auto index = static_cast<size_t>(id);
    classes_.resize(std::max(classes_.size(), index + 1), TokenClass::kOther);
    classes_[index] = token_class;
  }

  std::vector<TokenClass> classes_;
  int32_t num_drawable_ = INT32_MAX;
};

}  // namespace fourstep
