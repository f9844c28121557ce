#include "checkpoint/quantized_writer.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/file.h"

namespace fourstep {
namespace {

constexpr std::string_view kProducerVersion = "fourstep 0.1.0";

bool IsNormal(float x) {
  return x > 0 && std::isnormal(x);
}

void AddScalar(SafetensorsWriter& writer, const std::string& name, std::vector<int64_t> shape, float value) {
  writer.AddTensor(name, TensorType::kF32, std::move(shape),
                   [value](std::span<std::byte> out) { std::memcpy(out.data(), &value, sizeof value); });
}

Json ModelOptConfig(bool weights_only, const std::vector<std::string>& excluded) {
  const Json args = {{"dynamic", false}, {"num_bits", 4}, {"type", "float"}, {"group_size", 16}};
  Json group = {{"weights", args}, {"targets", {"Linear"}}};
  if (!weights_only) group["input_activations"] = args;
  return {{"quant_method", "modelopt"},
          {"quant_algo", weights_only ? "W4A16_NVFP4" : "NVFP4"},
          {"config_groups", {{"group_0", group}}},
          {"ignore", excluded},
          {"producer", {{"name", "modelopt"}, {"version", kProducerVersion}}}};
}

// The older place of the same. Readers look for ModelOpt's name as the producer.
Json HfQuantConfig(bool weights_only, const std::vector<std::string>& excluded) {
  return {{"producer", {{"name", "modelopt"}, {"version", kProducerVersion}}},
          {"quantization",
           {{"quant_algo", weights_only ? "W4A16_NVFP4" : "NVFP4"},
            {"kv_cache_quant_algo", nullptr},
            {"group_size", 16},
            {"exclude_modules", excluded}}}};
}

Json CompressedTensorsConfig(bool weights_only, const std::vector<std::string>& excluded) {
  const Json weights = {
      {"num_bits", 4},     {"type", "float"},  {"strategy", "tensor_group"},          {"group_size", 16},
      {"symmetric", true}, {"dynamic", false}, {"scale_dtype", "torch.float8_e4m3fn"}};
  Json input = nullptr;
  if (!weights_only) {
    input = weights;
    input["dynamic"] = "local";  // the tensor's scale is calibrated, the blocks' are computed at run time
  }
  return {{"quant_method", "compressed-tensors"},
          {"format", "nvfp4-pack-quantized"},
          {"quantization_status", "compressed"},
          {"config_groups",
           {{"group_0",
             {{"targets", {"Linear"}},
              {"format", "nvfp4-pack-quantized"},
              {"weights", weights},
              {"input_activations", input},
              {"output_activations", nullptr}}}}},
          {"ignore", excluded},
          {"kv_cache_scheme", nullptr}};
}

}  // namespace

float StorableScale(Dialect dialect, float scale) {
  FOURSTEP_CHECK(IsNormal(scale) && IsNormal(1.0f / scale), "scale {}", scale);
  return dialect == Dialect::kCompressedTensors ? 1.0f / (1.0f / scale) : scale;
}

float StorableScaleAtLeast(Dialect dialect, float scale) {
  float result = StorableScale(dialect, scale);
  for (float up = scale; result < scale;) {  // some few steps: the reciprocals are at most 2 ulp apart
    up = std::nextafter(up, std::numeric_limits<float>::infinity());
    result = StorableScale(dialect, up);
  }
  return result;
}

void AddNvFp4(SafetensorsWriter& writer, Dialect dialect, const NvFp4Module& module) {
  FOURSTEP_CHECK(dialect != Dialect::kNone && module.k % 16 == 0, "{}", module.name);
  const bool is_modelopt = dialect == Dialect::kModelOpt;
  const auto add_scale = [&](const char* name, float scale) {
    FOURSTEP_CHECK(StorableScale(dialect, scale) == scale, "{}: scale {} cannot be stored", module.name,
                   scale);
    AddScalar(writer, module.name + name, is_modelopt ? std::vector<int64_t>{} : std::vector<int64_t>{1},
              is_modelopt ? scale : 1.0f / scale);
  };
  writer.AddTensor(module.name + (is_modelopt ? ".weight" : ".weight_packed"), TensorType::kU8,
                   {module.n, module.k / 2}, module.fill_codes);
  writer.AddTensor(module.name + ".weight_scale", TensorType::kF8E4M3, {module.n, module.k / 16},
                   module.fill_block_scales);
  add_scale(is_modelopt ? ".weight_scale_2" : ".weight_global_scale", module.global_scale);
  if (module.input_scale)
    add_scale(is_modelopt ? ".input_scale" : ".input_global_scale", *module.input_scale);
}

void WriteQuantizedConfig(const std::filesystem::path& folder, const HfConfig& source, Dialect dialect,
                          bool weights_only, const std::vector<std::string>& excluded) {
  FOURSTEP_CHECK(dialect != Dialect::kNone);
  const bool is_modelopt = dialect == Dialect::kModelOpt;
  Json config = source.json;
  config["quantization_config"] =
      is_modelopt ? ModelOptConfig(weights_only, excluded) : CompressedTensorsConfig(weights_only, excluded);
  WriteFile(folder / "config.json", config.dump(2) + "\n");
  if (is_modelopt) {
    WriteFile(folder / "hf_quant_config.json", HfQuantConfig(weights_only, excluded).dump(2) + "\n");
  }
}

}  // namespace fourstep
