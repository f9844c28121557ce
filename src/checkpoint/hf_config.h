// config.json and generation_config.json of a Hugging Face folder, read strictly: a key that is neither read
// nor known to be harmless is an error that names it, because a setting that is silently ignored gives wrong
// answers that look right.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace fourstep {

enum class RopeType { kDefault, kLinear, kLlama3, kYarn };

// rope_theta + rope_scaling, or rope_parameters of newer files.
struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000;
  double factor = 1;
  double original_max_positions = 0;                 // llama3, yarn
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  std::optional<double> attention_factor;            // yarn; absent: from factor, mscale and mscale_all_dim
  std::optional<double> mscale, mscale_all_dim;      // yarn
  bool truncate = true;                              // yarn
};

// The rope settings of a config.json, already parsed. Throws Error naming `where` and the field.
RopeConfig ParseRopeConfig(const Json& config_json, int64_t max_positions, const std::string& where);

struct HfConfig {
  std::string where;         // the file, for messages
  std::string architecture;  // "Qwen3ForCausalLM"
  int64_t hidden_size = 0, intermediate_size = 0, num_layers = 0;
  int64_t num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;  // of a sequence, in tokens
  double rms_norm_epsilon = 1e-6;
  RopeConfig rope;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // as the file says; Qwen2 has biases on q, k, v without saying so
  std::vector<int32_t> eos_token_ids;
  std::optional<int32_t> bos_token_id;
  Json json;  // the whole file, for writers: it still has quantization_config
};

// Throws Error naming `where` and the field. Sizes are bounded (hidden 1..2^20, layers 1..4096,
// vocab 1..2^24, ...), so that later products cannot overflow.
HfConfig ParseHfConfig(std::string_view text, const std::string& where);

// Sampling defaults of the model's authors; what is absent stays empty. eos ids here override the config's.
struct GenerationConfig {
  std::vector<int32_t> eos_token_ids;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int32_t> top_k;
};

// Unknown keys are ignored: they steer other programs' decoding.
GenerationConfig ParseGenerationConfig(std::string_view text, const std::string& where);

}  // namespace fourstep
