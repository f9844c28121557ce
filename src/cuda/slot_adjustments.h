// What the device keeps of each slot's adjustments (sampling/logit_adjustment.h): only for slots that ever
// had any, so that plain answers cost neither memory nor time.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/sampling_request.h"
#include "cuda/device.h"
#include "cuda/sampling.h"
#include "sampling/logit_adjustment.h"

namespace fourstep::cuda {

class SlotAdjustments {
 public:
  // Keeps what running answers have; nothing may run on the device.
  void Resize(int32_t num_slots);

  // A new answer begins in `slot`. In the order of `stream`; returns when the device has it. Throws Error
  // where there is no memory for it: `slot` must then be set again before an answer is drawn there.
  void Set(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt,
           int32_t num_drawable, cudaStream_t stream);

  // What the answer in `slot` asks for.
  DrawExtras ExtrasOf(int32_t slot) const;

  AdjustmentView* views() const { return views_.data(); }

 private:
  // Uploaded once for all slots that use it.
  struct Automaton {
    std::shared_ptr<const TokenAutomaton> source;
    DeviceArray<uint16_t> token_class;  // [num_tokens]
    DeviceArray<int32_t> next_state;    // [num_states, num_classes]
  };
  struct Slot {
    DeviceArray<TokenNote> notes;  // [num_drawable], or none so far
    DeviceArray<TokenBias> biases;
    std::shared_ptr<const Automaton> automaton;
    DrawExtras extras;
  };

  std::shared_ptr<const Automaton> Upload(const std::shared_ptr<const TokenAutomaton>& automaton);

  std::vector<Slot> slots_;
  std::vector<std::weak_ptr<const Automaton>> automata_;
  DeviceArray<AdjustmentView> views_;  // [num_slots]
};

}  // namespace fourstep::cuda
