// What a host backend keeps of sampling: one state a slot, the token drawn last there, the records not yet
// read.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "sampling/boundary_tokens.h"
#include "sampling/sampler.h"

namespace fourstep {

class DrawSlots {
 public:
  // A new answer begins in `slot` (>= 0).
  void SetSlot(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt) {
    FOURSTEP_CHECK(slot >= 0, "slot {}", slot);
    if (static_cast<size_t>(slot) >= slots_.size()) slots_.resize(static_cast<size_t>(slot) + 1);
    slots_[static_cast<size_t>(slot)] = {
        .sampler = {.params = request.params,
                    .adjustments = TokenAdjustments(request, prompt, boundary_tokens_.num_drawable())}};
  }

  void SetBoundaryTokens(BoundaryTokens tokens) { boundary_tokens_ = std::move(tokens); }

  // Draws from logits [vocab] in `slot`, whose answer must have been set.
  void Draw(int32_t slot, std::span<const float> logits) {
    FOURSTEP_CHECK(slot >= 0 && static_cast<size_t>(slot) < slots_.size(), "slot {} was never set", slot);
    Slot& s = slots_[static_cast<size_t>(slot)];
    DrawResult record = DrawToken(logits, s.sampler, boundary_tokens_);
    record.slot = slot;
    s.last_token = record.token;
    records_.push_back(std::move(record));
  }

  // The token drawn last in `slot`. Where the draw failed (token -1) the answer is over, but its slot may
  // still be in a step that was planned before that was known: token 0 stands in.
  int32_t LastToken(int32_t slot) const {
    FOURSTEP_CHECK(slot >= 0 && static_cast<size_t>(slot) < slots_.size(), "slot {} was never set", slot);
    const int32_t token = slots_[static_cast<size_t>(slot)].last_token;
    return token < 0 ? 0 : token;
  }

  std::vector<DrawResult> TakeRecords() { return std::exchange(records_, {}); }

 private:
  struct Slot {
    SamplerSlot sampler;
    int32_t last_token = -1;
  };
  std::vector<Slot> slots_;
  BoundaryTokens boundary_tokens_;
  std::vector<DrawResult> records_;
};

}  // namespace fourstep
