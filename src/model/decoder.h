// The decoder that Qwen and Llama share: RMSNorm before each part, grouped-query attention with rotary
// embedding, a gated feed-forward with SiLU.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/layers.h"
#include "model/model.h"

namespace fourstep {

// In what the architectures differ.
struct DecoderTraits {
  bool has_head_norms = false;  // RMSNorm of each q and k head before the rotation
  bool has_qkv_bias = false;
};

// Views into a checkpoint, or into whatever else holds weights.
struct DecoderLayerWeights {
  std::span<const float> attention_norm, ffn_norm;  // [hidden]
  std::span<const float> q_norm, k_norm;            // [head_dim], or empty
  LinearStack qkv, o, gate_up, down;
  KvScales kv_scales = {};  // where the cache is FP8
};
struct DecoderWeights {
  LinearWeight embedding;
  std::vector<DecoderLayerWeights> layers;
  std::span<const float> norm;  // [hidden]
  LinearStack head;             // empty where tied

  std::vector<const LinearStack*> stacks() const;  // of all linears
};

// See Model::Load; the cache is BF16 where the options do not say. The weights may go away afterwards.
std::unique_ptr<Model> BindDecoder(const HfConfig& config, const DecoderWeights& weights, Backend& backend,
                                   const ModelOptions& options);

// See Model::Load.
std::unique_ptr<Model> LoadDecoder(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options,
                                   const DecoderTraits& traits);

// Throws Error where config.json asks for biases in the attention beyond those of the architecture.
void ExpectNoAttentionBias(const HfConfig& config);

}  // namespace fourstep
