// Writes quantised checkpoints in both dialects: the tensors of a module, and the configuration that goes
// with them. What is written reads back, through Checkpoint, as the same LinearWeight bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/hf_config.h"
#include "checkpoint/quantization_config.h"
#include "checkpoint/safetensors.h"

namespace fourstep {

// The nearest scale that the dialect can store: compressed-tensors stores the reciprocal in fp32, which not
// every scale is the reciprocal of. Quantise with this one. Idempotent. `scale` is positive, finite and no
// subnormal, nor is its reciprocal.
float StorableScale(Dialect dialect, float scale);

// The smallest such scale that is at least `scale`, so that a weight encoded with it does not saturate more.
float StorableScaleAtLeast(Dialect dialect, float scale);

struct NvFp4Module {
  std::string name;  // "model.layers.0.mlp.up_proj"
  int64_t n = 0, k = 0;
  float global_scale = 1;            // a StorableScale
  std::optional<float> input_scale;  // a StorableScale; absent: the module runs as w4a16
  // Called by SafetensorsWriter::Finish, codes first.
  std::function<void(std::span<std::byte>)> fill_codes;         // [n, k/2], even k in the low nibble
  std::function<void(std::span<std::byte>)> fill_block_scales;  // [n, k/16] E4M3
};

void AddNvFp4(SafetensorsWriter& writer, Dialect dialect, const NvFp4Module& module);

// Writes config.json (that of the source with a new quantization_config) and, for ModelOpt,
// hf_quant_config.json. `excluded` are the linears that stay dense, lm_head among them; whether the others
// have input scales says `weights_only`.
void WriteQuantizedConfig(const std::filesystem::path& folder, const HfConfig& source, Dialect dialect,
                          bool weights_only, const std::vector<std::string>& excluded);

}  // namespace fourstep
