#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/ranges.h>

#include "base/error.h"
#include "checkpoint/module_names.h"
#include "formats/bfloat16.h"
#include "formats/float16.h"
#include "formats/mxfp4.h"
#include "formats/nvfp4.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = size_t{16} << 20;
constexpr std::initializer_list<TensorType> kDenseTypes = {TensorType::kBf16, TensorType::kF16,
                                                           TensorType::kF32};

WeightFormat DenseFormat(TensorType type) {
  if (type == TensorType::kF32) return WeightFormat::kFp32;
  return type == TensorType::kF16 ? WeightFormat::kFp16 : WeightFormat::kBf16;
}

std::vector<float> ToFloats(const TensorView& view) {
  std::vector<float> out(static_cast<size_t>(view.num_values()));
  for (size_t i = 0; i < out.size(); ++i) {
    if (view.type == TensorType::kF32) {
      std::memcpy(&out[i], view.bytes.data() + 4 * i, 4);
      continue;
    }
    uint16_t bits;
    std::memcpy(&bits, view.bytes.data() + 2 * i, 2);
    out[i] = view.type == TensorType::kBf16 ? BFloat16::Decode({bits}) : Float16::Decode({bits});
  }
  return out;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string TypesText(std::initializer_list<TensorType> types) {
  std::string out;
  for (const TensorType type : types) out += (out.empty() ? "" : " or ") + std::string(TensorTypeName(type));
  return out;
}

bool IsScale(float x) {
  return x > 0 && std::isfinite(x);
}

// Scales of a cache whose format there is not here. transformers' frequencies are computed from config.json.
bool IsKnownLeftover(std::string_view tensor) {
  for (const std::string_view suffix :
       {".k_scale", ".v_scale", ".k_proj.output_scale", ".v_proj.output_scale", ".rotary_emb.inv_freq"}) {
    if (tensor.ends_with(suffix)) return true;
  }
  return false;
}

LinearWeight Unbound(const std::string& module, int64_t n, int64_t k) {
  LinearWeight weight;
  weight.name = module;
  weight.n = n;
  weight.k = k;
  return weight;
}

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

}  // namespace

Checkpoint Checkpoint::Open(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) throw Error(folder.string(), "is not a folder");
  Checkpoint result;
  result.folder_ = folder;
  const fs::path config = folder / "config.json";
  result.config_ = ParseHfConfig(ReadFile(config, kMaxConfigBytes), config.string());
  const fs::path generation = folder / "generation_config.json";
  if (Exists(generation)) {
    result.generation_ = ParseGenerationConfig(ReadFile(generation, kMaxConfigBytes), generation.string());
  }
  // config.json is newer and says more; the other file may be a leftover of an older exporter.
  const fs::path quantization = folder / "hf_quant_config.json";
  const auto field = result.config_.json.find("quantization_config");
  if (field != result.config_.json.end() && !field->is_null()) {
    result.quantization_ = ParseQuantizationConfig(*field, config.string() + ": quantization_config");
  } else if (Exists(quantization)) {
    result.quantization_ = ParseHfQuantConfig(ReadFile(quantization, kMaxConfigBytes), quantization.string());
  }
  result.tensors_ = TensorFolder::Open(folder);
  return result;
}

std::span<const int32_t> Checkpoint::eos_token_ids() const {
  return generation_.eos_token_ids.empty() ? config_.eos_token_ids : generation_.eos_token_ids;
}

bool Checkpoint::Has(std::string_view tensor) const {
  return tensors().contains(tensor);
}

std::string Checkpoint::Where(std::string_view tensor) const {
  return fmt::format("{}: {}", folder_.string(), Printable(tensor, 200));
}

const TensorView& Checkpoint::Get(const std::string& tensor) {
  const auto it = tensors().find(tensor);
  if (it == tensors().end()) throw Error(Where(tensor), "tensor is missing");
  read_.insert(tensor);
  return it->second;
}

const TensorView& Checkpoint::Get(const std::string& tensor, std::initializer_list<TensorType> types,
                                  const std::vector<int64_t>& shape) {
  const TensorView& view = Get(tensor);
  if (std::find(types.begin(), types.end(), view.type) == types.end()) {
    throw Errorf(Where(tensor), "is {}, expected {}", TensorTypeName(view.type), TypesText(types));
  }
  if (view.shape != shape) {
    throw Errorf(Where(tensor), "has shape {}, expected {}", ShapeText(view.shape), ShapeText(shape));
  }
  return view;
}

// A positive number, of shape [] or [1].
float Checkpoint::Scalar(const std::string& tensor, std::initializer_list<TensorType> types) {
  const TensorView& view = Get(tensor);
  const bool has_type = std::find(types.begin(), types.end(), view.type) != types.end();
  if (!has_type || !(view.shape.empty() || view.shape == std::vector<int64_t>{1})) {
    throw Errorf(Where(tensor), "is {} of shape {}, expected one {} number", TensorTypeName(view.type),
                 ShapeText(view.shape), TypesText(types));
  }
  const float value = ToFloats(view)[0];
  if (!IsScale(value)) throw Errorf(Where(tensor), "is {}, expected a positive number", value);
  return value;
}

std::span<const float> Checkpoint::Vector(const std::string& tensor, int64_t n) {
  floats_.push_back(ToFloats(Get(tensor, kDenseTypes, {n})));
  const auto fault = std::find_if_not(floats_.back().begin(), floats_.back().end(),
                                      [](float x) { return std::isfinite(x); });
  if (fault != floats_.back().end()) {
    throw Errorf(Where(tensor), "value {} is {}, expected a finite number", fault - floats_.back().begin(),
                 *fault);
  }
  return floats_.back();
}

void Checkpoint::ReadDense(LinearWeight& weight) {
  const std::string tensor = weight.name + ".weight";
  // Scales beside a dense weight would be some other quantisation: INT8, say.
  for (const char* suffix :
       {".weight_scale", ".weight_scale_inv", ".weight_scale_2", ".weight_global_scale"}) {
    if (Has(tensor) && Get(tensor).type != TensorType::kU8 && Has(weight.name + suffix)) {
      throw Errorf(Where(tensor), "is {} and has scales, expected 4-bit codes (U8) or FP8 (F8_E4M3)",
                   TensorTypeName(Get(tensor).type));
    }
  }
  const TensorView& view = Get(tensor, kDenseTypes, {weight.n, weight.k});
  weight.format = DenseFormat(view.type);
  weight.values = view.bytes;
}

// One positive number for all of `n` outputs, or one for each.
std::span<const float> Checkpoint::OutputScales(const std::string& tensor, int64_t n) {
  const TensorView& view = Get(tensor);
  const std::vector<int64_t>& shape = view.shape;
  const bool is_one = shape.empty() || shape == std::vector<int64_t>{1};
  const bool fits = is_one || shape == std::vector<int64_t>{n} || shape == std::vector<int64_t>{n, 1};
  if (!fits || std::find(kDenseTypes.begin(), kDenseTypes.end(), view.type) == kDenseTypes.end()) {
    throw Errorf(Where(tensor), "is {} of shape {}, expected one number or [{}, 1] of {}",
                 TensorTypeName(view.type), ShapeText(shape), n, TypesText(kDenseTypes));
  }
  const std::vector<float>& scales = floats_.emplace_back(ToFloats(view));
  const auto fault = std::find_if_not(scales.begin(), scales.end(), IsScale);
  if (fault != scales.end())
    throw Errorf(Where(tensor), "has the scale {}, expected positive numbers", *fault);
  return scales;
}

// Both dialects write it alike.
void Checkpoint::ReadFp8(LinearWeight& weight) {
  const std::string tensor = weight.name + ".weight", input = weight.name + ".input_scale";
  const TensorView& view = Get(tensor, {TensorType::kF8E4M3}, {weight.n, weight.k});
  uint8_t largest = 0;  // magnitude
  for (const std::byte code : view.bytes)
    largest = std::max(largest, static_cast<uint8_t>(code & std::byte{0x7F}));
  if (E4M3::IsNaN(largest)) throw Error(Where(tensor), "has a value that is NaN, expected numbers");
  weight.format = WeightFormat::kFp8;
  weight.values = view.bytes;
  weight.output_scales = OutputScales(weight.name + ".weight_scale", weight.n);
  if (Has(input)) OutputScales(input, 1);  // of FP8 activations: ours stay BF16
}

// `codes` is the tensor that holds them: ".weight" (ModelOpt) or ".weight_packed" (compressed-tensors).
void Checkpoint::ReadFourBit(const std::string& codes, LinearWeight& weight) {
  const std::string scales = weight.name + ".weight_scale";
  const TensorType scale_type = Get(scales).type;
  const bool is_mxfp4 = scale_type == TensorType::kU8 || scale_type == TensorType::kF8E8M0;
  weight.format = is_mxfp4 ? WeightFormat::kMxFp4 : WeightFormat::kNvFp4;
  const int64_t block_values = is_mxfp4 ? MxFp4::kBlockValues : NvFp4::kBlockValues;
  if (weight.k % block_values != 0) {
    throw Errorf(Where(codes), "has {} inputs, expected a multiple of {}", weight.k, block_values);
  }
  weight.values = Get(codes, {TensorType::kU8}, {weight.n, weight.k / 2}).bytes;
  const std::vector<int64_t> shape = {weight.n, weight.k / block_values};
  const TensorView& view = is_mxfp4 ? Get(scales, {TensorType::kU8, TensorType::kF8E8M0}, shape)
                                    : Get(scales, {TensorType::kF8E4M3}, shape);
  weight.block_scales = {reinterpret_cast<const uint8_t*>(view.bytes.data()), view.bytes.size()};
  // E4M3: 0x7F is NaN, 0x80 and more are negative (0xFF NaN); E8M0: 0xFF is NaN.
  const uint8_t limit = is_mxfp4 ? 0xFE : E4M3::kMaxCode;
  uint8_t largest = 0;
  for (const uint8_t scale : weight.block_scales) largest = std::max(largest, scale);
  if (largest > limit) {
    throw Errorf(Where(scales), "has the scale 0x{:02X}, which is NaN or negative", largest);
  }
}

// The two dialects store a scale and its reciprocal.
void Checkpoint::ReadGlobalScales(LinearWeight& weight) {
  const bool is_reciprocal = quantization_.dialect == Dialect::kCompressedTensors;
  const auto read = [&](const std::string& tensor) {
    const float stored = Scalar(tensor);
    const float scale = is_reciprocal ? 1.0f / stored : stored;
    if (!IsScale(scale)) throw Errorf(Where(tensor), "is {}, whose reciprocal is no fp32 number", stored);
    return scale;
  };
  weight.global_scale = read(weight.name + (is_reciprocal ? ".weight_global_scale" : ".weight_scale_2"));
  const std::string input = weight.name + (is_reciprocal ? ".input_global_scale" : ".input_scale");
  if (Has(input)) weight.input_scale = read(input);
}

// Of `kind` "k" or "v", by any of the names that exporters have given it.
float Checkpoint::CacheScale(const std::string& attention, std::string_view kind) {
  std::string found;
  for (const std::string& name :
       {fmt::format("{}.{}_proj.{}_scale", attention, kind, kind),
        fmt::format("{}.{}_scale", attention, kind), fmt::format("{}.attn.{}_scale", attention, kind),
        fmt::format("{}.{}_proj.output_scale", attention, kind)}) {
    if (!Has(name)) continue;
    if (!found.empty()) throw Errorf(Where(name), "is there beside {}, expected one of them", found);
    found = name;
  }
  if (found.empty()) return 1;
  const float scale = Scalar(found, kDenseTypes);
  if (!IsKvScale(scale)) throw Errorf(Where(found), "is {}, expected a number from 2^-96 to 2^96", scale);
  return scale;
}

KvScales Checkpoint::CacheScales(const std::string& attention) {
  if (quantization_.kv_cache == KvCacheFormat::kBf16) return {};
  return {.k = CacheScale(attention, "k"), .v = CacheScale(attention, "v")};
}

LinearWeight Checkpoint::Linear(const std::string& module, int64_t n, int64_t k) {
  LinearWeight weight = Unbound(module, n, k);
  const std::string packed = module + ".weight_packed", plain = module + ".weight";
  const bool is_packed = Has(packed);
  if (is_packed || (Has(plain) && Get(plain).type == TensorType::kU8)) {
    const Dialect spoken = is_packed ? Dialect::kCompressedTensors : Dialect::kModelOpt;
    if (spoken != quantization_.dialect) {
      throw Errorf(Where(is_packed ? packed : plain), "has 4 bits as {} writes them, config.json names {}",
                   DialectName(spoken),
                   dialect() == Dialect::kNone ? "no quantisation" : DialectName(dialect()));
    }
    ReadFourBit(is_packed ? packed : plain, weight);
    if (weight.format == WeightFormat::kNvFp4) ReadGlobalScales(weight);
    quantization_.Expect(module, weight.format, weight.input_scale.has_value());
  } else if (Has(plain) && Get(plain).type == TensorType::kF8E4M3) {
    if (dialect() == Dialect::kNone)
      throw Error(Where(plain), "is F8_E4M3, but config.json names no quantisation");
    ReadFp8(weight);
    quantization_.Expect(module, weight.format, false);
  } else {
    ReadDense(weight);
  }
  if (Has(module + ".bias")) weight.bias = Vector(module + ".bias", n);
  if (const std::string scale = module + ".pre_quant_scale"; Has(scale)) {
    weight.pre_quant_scale = Vector(scale, k);
    const auto fault =
        std::find_if_not(weight.pre_quant_scale.begin(), weight.pre_quant_scale.end(), IsScale);
    if (fault != weight.pre_quant_scale.end()) {
      throw Errorf(Where(scale), "has the value {}, expected positive numbers", *fault);
    }
  }
  return weight;
}

LinearWeight Checkpoint::Table(const std::string& module, int64_t n, int64_t k) {
  LinearWeight weight = Unbound(module, n, k);
  ReadDense(weight);
  return weight;
}

void Checkpoint::ExpectAllRead() const {
  const std::string head = std::string(kHeadModule) + ".weight";
  for (const auto& [tensor, view] : tensors()) {
    const bool is_allowed =
        read_.contains(tensor) || IsKnownLeftover(tensor) || (config_.tie_word_embeddings && tensor == head);
    if (!is_allowed) throw Errorf(Where(tensor), "is not used by {}", Printable(config_.architecture));
  }
}

}  // namespace fourstep
