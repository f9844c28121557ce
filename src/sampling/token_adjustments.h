// The adjustments of one answer on the host, and which tokens are the most probable.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/sampling_request.h"
#include "sampling/logit_adjustment.h"

namespace fourstep {

// The notes that an answer begins with, [num_drawable]; empty where the request needs none.
std::vector<TokenNote> InitialNotes(const SamplingRequest& request, std::span<const int32_t> prompt,
                                    int32_t num_drawable);

class TokenAdjustments {
 public:
  TokenAdjustments() = default;  // none
  TokenAdjustments(const SamplingRequest& request, std::span<const int32_t> prompt, int32_t num_drawable);

  bool empty() const { return notes_.empty() && automaton_ == nullptr; }

  // The adjusted logits, valid until the next call. `logits` [num_drawable, or fewer] without NaN.
  std::span<const float> Apply(std::span<const float> logits, const SamplingParams& params);

  // `token` was drawn from what Apply returned.
  void Observe(int32_t token);

 private:
  AdjustmentView View();

  std::vector<TokenNote> notes_;
  std::vector<TokenBias> biases_;
  std::shared_ptr<const TokenAutomaton> automaton_;
  int32_t state_ = 0;
  std::vector<float> adjusted_;
};

// The `count` most probable of `logits` [num_drawable], fewer where there are not so many: see DrawResult.
std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, float log_sum_exp, int32_t count);

}  // namespace fourstep
