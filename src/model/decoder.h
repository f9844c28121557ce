// The decoder that Qwen and Llama share: RMSNorm before each part, grouped-query attention with rotary
// embedding, a gated feed-forward with SiLU.
#pragma once

#include <memory>

#include "model/model.h"

namespace fourstep {

// In what the architectures differ.
struct DecoderTraits {
  bool has_head_norms = false;  // RMSNorm of each q and k head before the rotation
  bool has_qkv_bias = false;
};

// See Model::Load.
std::unique_ptr<Model> LoadDecoder(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options,
                                   const DecoderTraits& traits);

// Throws Error where config.json asks for biases in the attention beyond those of the architecture.
void ExpectNoAttentionBias(const HfConfig& config);

}  // namespace fourstep
