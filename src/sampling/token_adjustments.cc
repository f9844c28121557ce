#include "sampling/token_adjustments.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace fourstep {

std::vector<TokenNote> InitialNotes(const SamplingRequest& request, std::span<const int32_t> prompt,
                                    int32_t num_drawable) {
  if (!request.has_notes()) return {};
  FOURSTEP_CHECK(num_drawable < INT32_MAX, "SetBoundaryTokens comes first");
  std::vector<TokenNote> notes(static_cast<size_t>(std::max(0, num_drawable)));
  const auto mark = [&](int32_t token, TokenNote bit) {
    if (token >= 0 && token < num_drawable) notes[static_cast<size_t>(token)] |= bit;
  };
  for (const int32_t token : prompt) mark(token, kIsInPrompt);
  for (const TokenBias& bias : request.bias) mark(bias.token, kIsBiased);
  return notes;
}

TokenAdjustments::TokenAdjustments(const SamplingRequest& request, std::span<const int32_t> prompt,
                                   int32_t num_drawable)
    : notes_(InitialNotes(request, prompt, num_drawable)),
      biases_(request.bias),
      automaton_(request.automaton),
      state_(request.automaton_state) {}

AdjustmentView TokenAdjustments::View() {
  AdjustmentView view{};
  if (!notes_.empty()) view.notes = notes_.data();
  view.biases = biases_.data();
  view.num_biases = static_cast<int32_t>(biases_.size());
  if (automaton_ != nullptr) {
    view.token_class = automaton_->token_class.data();
    view.next_state = automaton_->next_state.data();
    view.num_tokens = static_cast<int32_t>(automaton_->token_class.size());
    view.num_classes = automaton_->num_classes;
  }
  view.state = state_;
  return view;
}

std::span<const float> TokenAdjustments::Apply(std::span<const float> logits, const SamplingParams& params) {
  FOURSTEP_CHECK(notes_.empty() || logits.size() <= notes_.size(), "{} logits, {} notes", logits.size(),
                 notes_.size());
  const AdjustmentView view = View();
  adjusted_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    adjusted_[i] = AdjustedLogit(logits[i], static_cast<int32_t>(i), params, view);
  return adjusted_;
}

void TokenAdjustments::Observe(int32_t token) {
  AdjustmentView view = View();
  NoteDrawn(view, token);
  state_ = view.state;
}

std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, float log_sum_exp, int32_t count) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min(static_cast<ptrdiff_t>(count), std::ssize(order));
  std::partial_sort(order.begin(), end, order.end(), [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  std::vector<TokenLogprob> top;
  for (auto token = order.begin(); token != end; ++token) {
    const float logit = logits[static_cast<size_t>(*token)];
    if (logit > -INFINITY) top.push_back({*token, logit - log_sum_exp});
  }
  return top;
}

}  // namespace fourstep
