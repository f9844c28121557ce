#include "checkpoint/quantization_config.h"

#include <algorithm>
#include <initializer_list>

#include "base/error.h"

namespace fourstep {
namespace {

constexpr JsonLimits kLimits = {.max_bytes = size_t{16} << 20, .max_depth = 32};
constexpr size_t kMaxPatterns = 100'000;
constexpr std::string_view kSupported =
    "NVFP4, MXFP4 and FP8 weights, 4-bit ones with NVFP4 or 16-bit activations";

// Keys without an effect on how the tensors are to be read are listed too; a null counts as absent.
void ExpectKeys(const Json& json, const std::string& where, std::initializer_list<std::string_view> keys) {
  for (const auto& [key, value] : json.items()) {
    if (!value.is_null() && std::find(keys.begin(), keys.end(), key) == keys.end()) {
      throw Errorf(where, "unknown key \"{}\"", Printable(key));
    }
  }
}

std::string Shown(const Json& value) {
  return Printable(DumpJson(value), 60);
}

// The ways of quantising one group of modules.
enum class Scheme { kNvFp4, kNvFp4WeightsOnly, kMxFp4, kFp8 };

void AddScheme(Scheme scheme, QuantizationConfig& config) {
  config.has_nvfp4 |= scheme == Scheme::kNvFp4 || scheme == Scheme::kNvFp4WeightsOnly;
  config.has_mxfp4 |= scheme == Scheme::kMxFp4;
  config.has_fp8 |= scheme == Scheme::kFp8;
  config.has_w4a4 |= scheme == Scheme::kNvFp4;
  config.has_w4a16 |= scheme == Scheme::kNvFp4WeightsOnly;
}

void ReadPatterns(const JsonReader& reader, const std::string& key, bool allow_regex,
                  QuantizationConfig& config) {
  if (!reader.Has(key)) return;
  const Json& list = reader.Get(key);
  if (!list.is_array() || list.size() > kMaxPatterns) {
    throw Errorf(reader.where(), "\"{}\" is no array of at most {} module names", key, kMaxPatterns);
  }
  for (const Json& name : list) {
    if (!name.is_string()) throw Errorf(reader.where(), "\"{}\" has {}, expected strings", key, Shown(name));
    config.excluded.emplace_back(name.get<std::string>(), allow_regex, reader.where() + ": " + key);
  }
}

// "weights" or "input_activations" of a group of 8-bit floats. Activations stay in BF16, however they are
// said to be scaled.
void ExpectEightBitFloats(const JsonReader& group, const std::string& key) {
  const JsonReader args(group.Get(key), group.where() + ": " + key);
  const std::string type = args.String("type");
  const int64_t num_bits = args.Int("num_bits", 1, 64);
  if (type != "float" || num_bits != 8) {
    throw Errorf(args.where(), "{} bits of type \"{}\", expected FP8; supported are {}", num_bits,
                 Printable(type, 20), kSupported);
  }
  const std::string strategy = args.StringOr("strategy", "tensor");
  if (key == "weights" && strategy != "tensor" && strategy != "channel") {
    throw Errorf(args.where(), "\"strategy\" is \"{}\", expected \"tensor\" or \"channel\"",
                 Printable(strategy, 40));
  }
  if (!args.BoolOr("symmetric", true))
    throw Error(args.where(), "\"symmetric\" is false, which is not supported");
}

// "weights" or "input_activations" of a group: 4-bit floats in blocks. `dynamic` may say that block scales
// are computed at run time; what else the object holds (observers, dtypes of scales) says how it was made.
void ExpectFourBitFloats(const JsonReader& group, const std::string& key, int64_t block_values) {
  const JsonReader args(group.Get(key), group.where() + ": " + key);
  const std::string type = args.String("type");
  const int64_t num_bits = args.Int("num_bits", 1, 64), group_size = args.IntOr("group_size", 0, -1, 1 << 20);
  if (type != "float" || num_bits != 4 || group_size != block_values) {
    throw Errorf(args.where(), "{} bits of type \"{}\" in groups of {}; supported are {}", num_bits,
                 Printable(type, 20), group_size, kSupported);
  }
  const std::string strategy = args.StringOr("strategy", "tensor_group");
  if (strategy != "tensor_group" && strategy != "group") {
    throw Errorf(args.where(), "\"strategy\" is \"{}\", expected \"tensor_group\" or \"group\"",
                 Printable(strategy, 40));
  }
  if (!args.BoolOr("symmetric", true))
    throw Error(args.where(), "\"symmetric\" is false, which is not supported");
}

// A group of either dialect: ModelOpt's and compressed-tensors' objects have the same fields.
Scheme ReadGroup(const JsonReader& group, WeightFormat format) {
  if (group.Has("output_activations")) {
    throw Error(group.where(), "\"output_activations\" are quantised, which is not supported");
  }
  if (format == WeightFormat::kFp8) {
    ExpectEightBitFloats(group, "weights");
    if (group.Has("input_activations")) ExpectEightBitFloats(group, "input_activations");
    return Scheme::kFp8;
  }
  const bool is_mxfp4 = format == WeightFormat::kMxFp4;
  const int64_t block_values = is_mxfp4 ? 32 : 16;
  ExpectFourBitFloats(group, "weights", block_values);
  if (group.Has("input_activations")) ExpectFourBitFloats(group, "input_activations", block_values);
  if (is_mxfp4) return Scheme::kMxFp4;
  if (!group.Has("input_activations")) return Scheme::kNvFp4WeightsOnly;
  const JsonReader args(group.Get("input_activations"), group.where() + ": input_activations");
  if (args.Has("dynamic") && args.Get("dynamic") != false && args.Get("dynamic") != "local") {
    throw Errorf(args.where(), "\"dynamic\" is {}, expected false or \"local\": a calibrated tensor scale",
                 Shown(args.Get("dynamic")));
  }
  return Scheme::kNvFp4;
}

// "kv_cache_scheme": E4M3 with one calibrated scale for all keys of a layer and one for all values is what
// there is here.
KvCacheFormat FormatOfScheme(const JsonReader& scheme) {
  const bool is_static = !scheme.Has("dynamic") || scheme.Get("dynamic") == false;
  const bool is_fp8 = scheme.String("type") == "float" && scheme.Int("num_bits", 1, 64) == 8 && is_static &&
                      scheme.StringOr("strategy", "tensor") == "tensor" && scheme.BoolOr("symmetric", true);
  return is_fp8 ? KvCacheFormat::kFp8 : KvCacheFormat::kBf16;
}

// Of either dialect, in either of ModelOpt's places.
void ReadKvCache(const JsonReader& reader, QuantizationConfig& config) {
  if (reader.Has("kv_cache_scheme")) {
    config.kv_cache = FormatOfScheme({reader.Get("kv_cache_scheme"), reader.where() + ": kv_cache_scheme"});
  } else if (reader.Has("kv_cache_quant_algo")) {
    const bool is_fp8 = reader.String("kv_cache_quant_algo") == "FP8";
    config.kv_cache = is_fp8 ? KvCacheFormat::kFp8 : KvCacheFormat::kBf16;
  }
}

const Json& Groups(const JsonReader& reader) {
  const Json& groups = reader.Get("config_groups");
  if (!groups.is_object() || groups.empty()) {
    throw Error(reader.where(), "\"config_groups\" is no object with groups in it");
  }
  return groups;
}

Scheme SchemeOfAlgorithm(const std::string& name, const std::string& where) {
  if (name == "NVFP4" || name == "NVFP4_AWQ") return Scheme::kNvFp4;
  if (name == "W4A16_NVFP4") return Scheme::kNvFp4WeightsOnly;
  if (name == "FP8") return Scheme::kFp8;
  throw Errorf(
      where,
      "quantisation algorithm \"{}\" is not supported, expected NVFP4, NVFP4_AWQ, W4A16_NVFP4, FP8 or "
      "MIXED_PRECISION of these",
      Printable(name, 40));
}

void ReadModelOptGroups(const JsonReader& reader, QuantizationConfig& config) {
  for (const auto& [name, group_json] : Groups(reader).items()) {
    const JsonReader group(group_json, config.where + ": " + Printable(name));
    const JsonReader weights(group.Get("weights"), group.where() + ": weights");
    const bool is_fp8 = weights.Int("num_bits", 1, 64) == 8;
    AddScheme(ReadGroup(group, is_fp8 ? WeightFormat::kFp8 : WeightFormat::kNvFp4), config);
  }
}

// "quant_algo" and, for MIXED_PRECISION, "quantized_layers": in both of ModelOpt's places.
void ReadAlgorithms(const JsonReader& reader, QuantizationConfig& config) {
  const std::string algorithm = reader.String("quant_algo");
  if (reader.IntOr("group_size", 16, 0, 1 << 20) != 16) {
    throw Errorf(reader.where(), "\"group_size\" is {}, expected 16", Shown(reader.Get("group_size")));
  }
  if (reader.BoolOr("has_zero_point", false)) {
    throw Error(reader.where(), "\"has_zero_point\" is true, which is not supported");
  }
  if (algorithm != "MIXED_PRECISION") {
    AddScheme(SchemeOfAlgorithm(algorithm, reader.where()), config);
    return;
  }
  if (!reader.Has("quantized_layers") && reader.Has("config_groups"))
    return ReadModelOptGroups(reader, config);
  const Json& layers = reader.Get("quantized_layers");
  if (!layers.is_object() || layers.empty()) {
    throw Error(reader.where(), "\"quantized_layers\" is no object with modules in it");
  }
  for (const auto& [module, layer] : layers.items()) {
    const JsonReader layer_reader(layer, reader.where() + ": quantized_layers: " + Printable(module));
    AddScheme(SchemeOfAlgorithm(layer_reader.String("quant_algo"), layer_reader.where()), config);
  }
}

// Where an algorithm is named, "config_groups" is derived from it, and wrong for NVFP4_AWQ (exporters up to
// 0.47 write 8-bit activations there), so it is not read.
void ReadModelOpt(const Json& json, QuantizationConfig& config) {
  const JsonReader reader(json, config.where);
  ExpectKeys(json, config.where,
             {"quant_method", "quant_algo", "config_groups", "ignore", "exclude_modules", "quantized_layers",
              "kv_cache_scheme", "kv_cache_quant_algo", "group_size", "has_zero_point", "pre_quant_scale",
              "producer"});
  ReadAlgorithms(reader, config);
  ReadKvCache(reader, config);
  ReadPatterns(reader, "ignore", /*allow_regex=*/false, config);
  ReadPatterns(reader, "exclude_modules", /*allow_regex=*/false, config);
}

bool IsEmptyTransform(const Json& transform) {
  return transform.is_object() &&
         (transform.empty() ||
          (transform.size() == 1 && transform.contains("config_groups") &&
           transform["config_groups"].is_object() && transform["config_groups"].empty()));
}

// "format" stands in the group, or outside for all of them.
WeightFormat FormatOf(const JsonReader& group, const std::string& outer_format) {
  const std::string format = group.StringOr("format", outer_format);
  if (format == "nvfp4-pack-quantized") return WeightFormat::kNvFp4;
  if (format == "mxfp4-pack-quantized") return WeightFormat::kMxFp4;
  if (format == "float-quantized") return WeightFormat::kFp8;
  throw Errorf(group.where(),
               "format \"{}\" is not supported, expected \"nvfp4-pack-quantized\", "
               "\"mxfp4-pack-quantized\" or \"float-quantized\"",
               Printable(format, 40));
}

void ReadCompressedTensors(const Json& json, QuantizationConfig& config) {
  const JsonReader reader(json, config.where);
  ExpectKeys(json, config.where,
             {"quant_method", "format", "quantization_status", "config_groups", "ignore", "kv_cache_scheme",
              "sparsity_config", "transform_config", "global_compression_ratio", "version"});
  const std::string status = reader.StringOr("quantization_status", "compressed");
  if (status != "compressed") {
    throw Errorf(config.where, "\"quantization_status\" is \"{}\", expected \"compressed\"",
                 Printable(status, 40));
  }
  if (reader.Has("transform_config") && !IsEmptyTransform(reader.Get("transform_config"))) {
    throw Error(config.where, "\"transform_config\" has transforms, which are not supported");
  }
  if (reader.Has("sparsity_config") && !reader.Get("sparsity_config").empty()) {
    const JsonReader sparsity(reader.Get("sparsity_config"), config.where + ": sparsity_config");
    if (sparsity.String("format") != "dense")
      throw Error(sparsity.where(), "sparse weights are not supported");
  }
  const std::string format = reader.StringOr("format", "");
  for (const auto& [name, group_json] : Groups(reader).items()) {
    const JsonReader group(group_json, config.where + ": " + Printable(name));
    ExpectKeys(group_json, group.where(),
               {"targets", "weights", "input_activations", "output_activations", "format"});
    AddScheme(ReadGroup(group, FormatOf(group, format)), config);
  }
  ReadKvCache(reader, config);
  ReadPatterns(reader, "ignore", /*allow_regex=*/true, config);
}

}  // namespace

std::string_view DialectName(Dialect dialect) {
  switch (dialect) {
    case Dialect::kNone:
      return "none";
    case Dialect::kModelOpt:
      return "modelopt";
    case Dialect::kCompressedTensors:
      return "compressed-tensors";
  }
  return "";
}

void QuantizationConfig::Expect(const std::string& module, WeightFormat format, bool has_input_scale) const {
  const bool is_nvfp4 = format == WeightFormat::kNvFp4, is_mxfp4 = format == WeightFormat::kMxFp4;
  if (is_nvfp4 ? !has_nvfp4 : is_mxfp4 ? !has_mxfp4 : !has_fp8) {
    throw Errorf(where, "does not speak of {} weights, which \"{}\" has",
                 is_nvfp4   ? "NVFP4"
                 : is_mxfp4 ? "MXFP4"
                            : "FP8",
                 Printable(module));
  }
  if (is_nvfp4 && !has_input_scale && !has_w4a16) {
    throw Errorf(where, "says that activations are quantised, but \"{}\" has no input scale",
                 Printable(module));
  }
  if (is_nvfp4 && has_input_scale && !has_w4a4) {
    throw Errorf(where, "says that only weights are quantised, but \"{}\" has an input scale",
                 Printable(module));
  }
  for (const ModulePattern& pattern : excluded) {
    if (pattern.Matches(module)) {
      throw Errorf(where, "excludes \"{}\" from quantisation (by \"{}\"), but it is quantised",
                   Printable(module), Printable(pattern.text()));
    }
  }
}

QuantizationConfig ParseQuantizationConfig(const Json& json, const std::string& where) {
  QuantizationConfig config;
  config.where = where;
  const std::string method = JsonReader(json, where).String("quant_method");
  if (method == "modelopt" || method == "modelopt_fp4") {
    config.dialect = Dialect::kModelOpt;
    ReadModelOpt(json, config);
  } else if (method == "compressed-tensors") {
    config.dialect = Dialect::kCompressedTensors;
    ReadCompressedTensors(json, config);
  } else {
    throw Errorf(
        where, "quantisation method \"{}\" is not supported, expected \"modelopt\" or \"compressed-tensors\"",
        Printable(method, 40));
  }
  return config;
}

QuantizationConfig ParseHfQuantConfig(std::string_view text, const std::string& where) {
  QuantizationConfig config;
  config.dialect = Dialect::kModelOpt;
  config.where = where;
  const Json json = ParseJson(text, where, kLimits);
  ExpectKeys(json, where, {"producer", "quantization"});
  const Json& quantization = JsonReader(json, where).Get("quantization");
  const JsonReader reader(quantization, where + ": quantization");
  ExpectKeys(quantization, reader.where(),
             {"quant_algo", "kv_cache_quant_algo", "group_size", "exclude_modules", "quantized_layers",
              "has_zero_point", "pre_quant_scale"});
  ReadAlgorithms(reader, config);
  ReadKvCache(reader, config);
  ReadPatterns(reader, "exclude_modules", /*allow_regex=*/false, config);
  return config;
}

}  // namespace fourstep
