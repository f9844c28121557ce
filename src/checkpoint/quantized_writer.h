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

struct Fp8Module {
  std::string name;
  int64_t n = 0, k = 0;
  std::vector<float> output_scales;                       // [1], or [n] where the dialect has them
  std::function<void(std::span<std::byte>)> fill_values;  // [n, k] E4M3
};

// How many scales of `n` outputs the dialect stores: ModelOpt has one of the tensor.
int64_t NumFp8Scales(Dialect dialect, int64_t n);

void AddFp8(SafetensorsWriter& writer, Dialect dialect, const Fp8Module& module);

// What a quantised checkpoint says of itself.
struct QuantizedModules {
  std::vector<std::string> nvfp4;           // linears of the layers
  bool weights_only = false;                // or they have input scales
  WeightFormat head = WeightFormat::kBf16;  // lm_head is kFp8, kNvFp4 like the others, or stays as it is
};

// Writes config.json (that of the source with a new quantization_config, and without a tied head where it has
// one of its own) and, for ModelOpt, hf_quant_config.json.
void WriteQuantizedConfig(const std::filesystem::path& folder, const HfConfig& source, Dialect dialect,
                          const QuantizedModules& modules);

}  // namespace fourstep
