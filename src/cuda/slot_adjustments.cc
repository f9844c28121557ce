#include "cuda/slot_adjustments.h"

#include <utility>

#include "sampling/token_adjustments.h"

namespace fourstep::cuda {

void SlotAdjustments::Resize(int32_t num_slots) {
  DeviceArray<AdjustmentView> views(static_cast<size_t>(num_slots), "slots");
  if (views_.size() > 0)
    FOURSTEP_CUDA(cudaMemcpy(views.data(), views_.data(), views_.bytes(), cudaMemcpyDeviceToDevice));
  views_ = std::move(views);
  slots_.resize(static_cast<size_t>(num_slots));
}

DrawExtras SlotAdjustments::ExtrasOf(int32_t slot) const {
  return static_cast<size_t>(slot) < slots_.size() ? slots_[static_cast<size_t>(slot)].extras : DrawExtras{};
}

std::shared_ptr<const SlotAdjustments::Automaton> SlotAdjustments::Upload(
    const std::shared_ptr<const TokenAutomaton>& automaton) {
  std::erase_if(automata_, [](const auto& uploaded) { return uploaded.expired(); });
  for (const std::weak_ptr<const Automaton>& uploaded : automata_) {
    const auto held = uploaded.lock();
    if (held->source == automaton) return held;
  }
  auto uploaded = std::make_shared<const Automaton>(
      Automaton{.source = automaton,
                .token_class = DeviceArray<uint16_t>(automaton->token_class, "pattern"),
                .next_state = DeviceArray<int32_t>(automaton->next_state, "pattern")});
  automata_.push_back(uploaded);
  return uploaded;
}

void SlotAdjustments::Set(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt,
                          int32_t num_drawable, cudaStream_t stream) {
  Slot& s = slots_[static_cast<size_t>(slot)];
  const bool had_any = s.extras.adjusts;
  s.extras = {.adjusts = request.has_notes() || request.automaton != nullptr,
              .has_top = request.params.top_logprobs > 0};
  s.automaton = request.automaton != nullptr ? Upload(request.automaton) : nullptr;
  if (!had_any && !s.extras.adjusts) return;

  AdjustmentView view{};
  const std::vector<TokenNote> notes = InitialNotes(request, prompt, num_drawable);
  if (!notes.empty()) {
    if (s.notes.size() != notes.size())
      s.notes = DeviceArray<TokenNote>(notes.size(), "penalties and logit bias");
    s.biases = DeviceArray<TokenBias>(request.bias, "logit bias");
    FOURSTEP_CUDA(
        cudaMemcpyAsync(s.notes.data(), notes.data(), s.notes.bytes(), cudaMemcpyHostToDevice, stream));
    view.notes = s.notes.data();
    view.biases = s.biases.data();
    view.num_biases = static_cast<int32_t>(s.biases.size());
  }
  if (s.automaton != nullptr) {
    view.token_class = s.automaton->token_class.data();
    view.next_state = s.automaton->next_state.data();
    view.num_tokens = static_cast<int32_t>(s.automaton->token_class.size());
    view.num_classes = request.automaton->num_classes;
    view.state = request.automaton_state;
  }
  FOURSTEP_CUDA(cudaMemcpyAsync(views_.data() + slot, &view, sizeof view, cudaMemcpyHostToDevice, stream));
  FOURSTEP_CUDA(cudaStreamSynchronize(stream));
}

}  // namespace fourstep::cuda
