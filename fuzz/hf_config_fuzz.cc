// config.json, generation_config.json, hf_quant_config.json and quantization_config: each parser gets every
// input.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/quantization_config.h"

namespace {

using fourstep::WeightFormat;

template <class Function>
void Try(Function function) {
  try {
    function();
  } catch (const fourstep::Error&) {
  }
}

// Patterns are matched with names of modules, whatever they are.
void Match(const fourstep::QuantizationConfig& config) {
  if (config.dialect == fourstep::Dialect::kNone || !(config.has_nvfp4 || config.has_mxfp4 || config.has_fp8))
    std::abort();
  for (const char* module : {"lm_head", "model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj"}) {
    for (const WeightFormat format : {WeightFormat::kNvFp4, WeightFormat::kMxFp4, WeightFormat::kFp8}) {
      Try([&] { config.Expect(module, format, /*has_input_scale=*/config.has_w4a4); });
    }
  }
}

void CheckConfig(std::string_view input) {
  const fourstep::HfConfig config = fourstep::ParseHfConfig(input, "input");
  // What users of the config rely on: products that fit, a head that RoPE can halve.
  if (config.num_heads % config.num_kv_heads != 0 || config.head_dim % 2 != 0) std::abort();
  if (config.num_heads * config.head_dim > 1 << 24 || !(config.rope.theta > 1)) std::abort();
  if (!config.json.contains("quantization_config")) return;
  Match(fourstep::ParseQuantizationConfig(config.json["quantization_config"], "input"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const std::string_view input(reinterpret_cast<const char*>(data), size_bytes);
  Try([&] { CheckConfig(input); });
  Try([&] { fourstep::ParseGenerationConfig(input, "input"); });
  Try([&] { Match(fourstep::ParseHfQuantConfig(input, "input")); });
  Try([&] { Match(fourstep::ParseQuantizationConfig(fourstep::ParseJson(input, "input"), "input")); });
  return 0;
}
