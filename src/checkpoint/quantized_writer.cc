#include "checkpoint/quantized_writer.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "checkpoint/module_names.h"

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

bool HasFp8(const QuantizedModules& modules) {
  return modules.head == WeightFormat::kFp8;
}

Json Excluded(const QuantizedModules& modules) {
  return modules.head == WeightFormat::kBf16 ? Json::array({kHeadModule}) : Json::array();
}

// "quant_algo", and which module has which where there are several: what both of ModelOpt's places hold.
Json ModelOptAlgorithms(const QuantizedModules& modules) {
  const char* nvfp4 = modules.weights_only ? "W4A16_NVFP4" : "NVFP4";
  if (!HasFp8(modules)) return {{"quant_algo", nvfp4}};
  Json layers = Json::object();
  for (const std::string& module : modules.nvfp4)
    layers[module] = {{"quant_algo", nvfp4}, {"group_size", 16}};
  layers[kHeadModule] = {{"quant_algo", "FP8"}};
  return {{"quant_algo", "MIXED_PRECISION"}, {"quantized_layers", layers}};
}

Json ModelOptConfig(const QuantizedModules& modules) {
  const Json args = {{"dynamic", false}, {"num_bits", 4}, {"type", "float"}, {"group_size", 16}};
  Json groups = {{"group_0", {{"weights", args}, {"targets", {"Linear"}}}}};
  if (!modules.weights_only) groups["group_0"]["input_activations"] = args;
  if (HasFp8(modules)) {
    groups["group_1"] = {{"weights", {{"dynamic", false}, {"num_bits", 8}, {"type", "float"}}},
                         {"targets", {kHeadModule}}};
  }
  Json config = ModelOptAlgorithms(modules);
  config.update({{"quant_method", "modelopt"},
                 {"config_groups", groups},
                 {"ignore", Excluded(modules)},
                 {"producer", {{"name", "modelopt"}, {"version", kProducerVersion}}}});
  return config;
}

// The older place of the same. Readers look for ModelOpt's name as the producer.
Json HfQuantConfig(const QuantizedModules& modules) {
  Json quantization = ModelOptAlgorithms(modules);
  quantization["kv_cache_quant_algo"] = nullptr;
  if (!HasFp8(modules)) quantization["group_size"] = 16;
  quantization["exclude_modules"] = Excluded(modules);
  return {{"producer", {{"name", "modelopt"}, {"version", kProducerVersion}}},
          {"quantization", quantization}};
}

Json CompressedTensorsGroup(const char* target, const char* format, const Json& weights, const Json& input) {
  return {{"targets", {target}},
          {"format", format},
          {"weights", weights},
          {"input_activations", input},
          {"output_activations", nullptr}};
}

Json CompressedTensorsConfig(const QuantizedModules& modules) {
  const Json weights = {
      {"num_bits", 4},     {"type", "float"},  {"strategy", "tensor_group"},          {"group_size", 16},
      {"symmetric", true}, {"dynamic", false}, {"scale_dtype", "torch.float8_e4m3fn"}};
  Json input = nullptr;
  if (!modules.weights_only) {
    input = weights;
    input["dynamic"] = "local";  // the tensor's scale is calibrated, the blocks' are computed at run time
  }
  constexpr char kNvFp4[] = "nvfp4-pack-quantized";
  Json groups = {{"group_0", CompressedTensorsGroup("Linear", kNvFp4, weights, input)}};
  if (HasFp8(modules)) {
    const Json head = {
        {"num_bits", 8}, {"type", "float"}, {"strategy", "channel"}, {"symmetric", true}, {"dynamic", false}};
    groups["group_1"] = CompressedTensorsGroup(kHeadModule, "float-quantized", head, nullptr);
  }
  return {{"quant_method", "compressed-tensors"}, {"format", HasFp8(modules) ? "mixed-precision" : kNvFp4},
          {"quantization_status", "compressed"},  {"config_groups", groups},
          {"ignore", Excluded(modules)},          {"kv_cache_scheme", nullptr}};
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

int64_t NumFp8Scales(Dialect dialect, int64_t n) {
  return dialect == Dialect::kModelOpt ? 1 : n;
}

void AddFp8(SafetensorsWriter& writer, Dialect dialect, const Fp8Module& module) {
  const auto num_scales = static_cast<int64_t>(module.output_scales.size());
  FOURSTEP_CHECK(dialect != Dialect::kNone && num_scales == NumFp8Scales(dialect, module.n), "{}: {} scales",
                 module.name, num_scales);
  writer.AddTensor(module.name + ".weight", TensorType::kF8E4M3, {module.n, module.k}, module.fill_values);
  std::vector<int64_t> shape;
  if (dialect == Dialect::kCompressedTensors) shape = {num_scales, 1};
  writer.AddTensor(module.name + ".weight_scale", TensorType::kF32, std::move(shape),
                   [scales = module.output_scales](std::span<std::byte> out) {
                     std::memcpy(out.data(), scales.data(), out.size());
                   });
}

void WriteQuantizedConfig(const std::filesystem::path& folder, const HfConfig& source, Dialect dialect,
                          const QuantizedModules& modules) {
  FOURSTEP_CHECK(dialect != Dialect::kNone);
  const bool is_modelopt = dialect == Dialect::kModelOpt;
  Json config = source.json;
  if (modules.head != WeightFormat::kBf16) config["tie_word_embeddings"] = false;
  config["quantization_config"] = is_modelopt ? ModelOptConfig(modules) : CompressedTensorsConfig(modules);
  WriteFile(folder / "config.json", config.dump(2) + "\n");
  if (is_modelopt) WriteFile(folder / "hf_quant_config.json", HfQuantConfig(modules).dump(2) + "\n");
}

}  // namespace fourstep
