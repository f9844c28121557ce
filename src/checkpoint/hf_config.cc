#include "checkpoint/hf_config.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"

namespace fourstep {
namespace {

constexpr JsonLimits kLimits = {.max_bytes = size_t{16} << 20, .max_depth = 32};
constexpr int64_t kMaxTokenId = (int64_t{1} << 24) - 1;
constexpr size_t kMaxEosIds = 1024;

// Keys that ParseHfConfig and ParseRopeConfig read, and quantization_config, which Checkpoint reads.
constexpr std::string_view kReadKeys[] = {"architectures",
                                          "hidden_size",
                                          "intermediate_size",
                                          "num_hidden_layers",
                                          "num_attention_heads",
                                          "num_key_value_heads",
                                          "head_dim",
                                          "vocab_size",
                                          "max_position_embeddings",
                                          "rms_norm_eps",
                                          "rope_theta",
                                          "rope_scaling",
                                          "rope_parameters",
                                          "partial_rotary_factor",
                                          "tie_word_embeddings",
                                          "attention_bias",
                                          "mlp_bias",
                                          "hidden_act",
                                          "sliding_window",
                                          "use_sliding_window",
                                          "layer_types",
                                          "rope_interleaved",
                                          "use_mrope",
                                          "is_encoder_decoder",
                                          "eos_token_id",
                                          "bos_token_id",
                                          "quantization_config"};

// Keys without an effect on what the model computes: training, other programs, bookkeeping, labels; and the
// types of the weights, which the tensors say themselves.
constexpr std::string_view kIgnoredKeys[] = {"_name_or_path",
                                             "_attn_implementation_autoset",
                                             "attention_dropout",
                                             "attn_implementation",
                                             "chunk_size_feed_forward",
                                             "dtype",
                                             "id2label",
                                             "initializer_range",
                                             "label2id",
                                             "max_window_layers",
                                             "model_type",
                                             "num_labels",
                                             "output_attentions",
                                             "output_hidden_states",
                                             "pad_token_id",
                                             "pretraining_tp",
                                             "problem_type",
                                             "return_dict",
                                             "torch_dtype",
                                             "transformers_version",
                                             "unsloth_fixed",
                                             "unsloth_version",
                                             "use_cache"};

bool Contains(std::span<const std::string_view> list, std::string_view key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

// A null counts as absent everywhere: transformers writes keys that are not set so.
void ExpectKnownKeys(const Json& json, const std::string& where) {
  for (const auto& [key, value] : json.items()) {
    if (!value.is_null() && !Contains(kReadKeys, key) && !Contains(kIgnoredKeys, key)) {
      throw Errorf(where, "unknown key \"{}\": it may change what the model computes", Printable(key));
    }
  }
}

void ExpectOff(const JsonReader& reader, const char* key) {
  if (reader.BoolOr(key, false)) throw Errorf(reader.where(), "\"{}\" is true, which is not supported", key);
}

// What the supported architectures could have and these models must not.
void RefuseUnsupported(const JsonReader& reader, int64_t num_layers) {
  const std::string act = reader.StringOr("hidden_act", "silu");
  if (act != "silu") {
    throw Errorf(reader.where(), "\"hidden_act\" is \"{}\", expected \"silu\"", Printable(act, 40));
  }
  for (const char* key :
       {"mlp_bias", "use_sliding_window", "rope_interleaved", "use_mrope", "is_encoder_decoder"}) {
    ExpectOff(reader, key);
  }
  if (reader.Has("sliding_window") && !reader.Has("use_sliding_window")) {
    throw Error(reader.where(), "\"sliding_window\" is set and \"use_sliding_window\" is not false");
  }
  if (reader.NumberOr("partial_rotary_factor", 1, 0, 1e6) != 1) {
    throw Error(reader.where(), "\"partial_rotary_factor\" is not 1, which is not supported");
  }
  if (!reader.Has("layer_types")) return;
  const Json& types = reader.Get("layer_types");
  if (!types.is_array() || types.size() != static_cast<size_t>(num_layers)) {
    throw Errorf(reader.where(), "\"layer_types\" is not an array of {} strings", num_layers);
  }
  for (const Json& type : types) {
    if (type != "full_attention") {
      throw Errorf(reader.where(), "\"layer_types\" has {}, expected \"full_attention\" only",
                   Printable(DumpJson(type), 40));
    }
  }
}

std::string ReadArchitecture(const JsonReader& reader) {
  const Json& list = reader.Get("architectures");
  if (!list.is_array() || list.size() != 1 || !list[0].is_string()) {
    throw Errorf(reader.where(), "\"architectures\" is {}, expected an array of one string",
                 Printable(DumpJson(list), 60));
  }
  return list[0].get<std::string>();
}

// One id or an array of ids.
std::vector<int32_t> ReadEosIds(const JsonReader& reader) {
  if (!reader.Has("eos_token_id")) return {};
  const Json& value = reader.Get("eos_token_id");
  const Json list = value.is_array() ? value : Json::array({value});
  if (list.size() > kMaxEosIds) {
    throw Errorf(reader.where(), "\"eos_token_id\" has {} ids, at most {} are read", list.size(), kMaxEosIds);
  }
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > uint64_t{kMaxTokenId}) {
      throw Errorf(reader.where(), "\"eos_token_id\" has {}, expected token ids 0..{}",
                   Printable(DumpJson(id), 40), kMaxTokenId);
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void ReadSizes(const JsonReader& reader, HfConfig& config) {
  constexpr int64_t kMaxWidth = int64_t{1} << 20;
  config.hidden_size = reader.Int("hidden_size", 1, kMaxWidth);
  config.intermediate_size = reader.Int("intermediate_size", 1, kMaxWidth);
  config.num_layers = reader.Int("num_hidden_layers", 1, 4096);
  config.num_heads = reader.Int("num_attention_heads", 1, 4096);
  config.num_kv_heads = reader.IntOr("num_key_value_heads", config.num_heads, 1, 4096);
  config.vocab_size = reader.Int("vocab_size", 1, kMaxTokenId + 1);
  config.max_positions = reader.Int("max_position_embeddings", 1, int64_t{1} << 30);
  if (config.num_heads % config.num_kv_heads != 0) {
    throw Errorf(reader.where(),
                 "\"num_attention_heads\" is {}, expected a multiple of \"num_key_value_heads\", {}",
                 config.num_heads, config.num_kv_heads);
  }
  if (!reader.Has("head_dim") && config.hidden_size % config.num_heads != 0) {
    throw Errorf(reader.where(), "\"head_dim\" is missing and \"hidden_size\" {} is no multiple of {} heads",
                 config.hidden_size, config.num_heads);
  }
  config.head_dim = reader.IntOr("head_dim", config.hidden_size / config.num_heads, 2, 4096);
  if (config.head_dim < 2 || config.head_dim % 2 != 0) {
    throw Errorf(reader.where(), "\"head_dim\" is {}, expected an even number", config.head_dim);
  }
}

}  // namespace

HfConfig ParseHfConfig(std::string_view text, const std::string& where) {
  HfConfig config;
  config.where = where;
  config.json = ParseJson(text, where, kLimits);
  const JsonReader reader(config.json, where);
  config.architecture = ReadArchitecture(reader);
  ReadSizes(reader, config);
  RefuseUnsupported(reader, config.num_layers);
  ExpectKnownKeys(config.json, where);
  config.rms_norm_epsilon = reader.NumberOr("rms_norm_eps", config.rms_norm_epsilon, 1e-20, 1);
  config.rope = ParseRopeConfig(config.json, config.max_positions, where);
  config.tie_word_embeddings = reader.BoolOr("tie_word_embeddings", false);
  config.attention_bias = reader.BoolOr("attention_bias", false);
  config.eos_token_ids = ReadEosIds(reader);
  if (reader.Has("bos_token_id")) {
    config.bos_token_id = static_cast<int32_t>(reader.Int("bos_token_id", 0, kMaxTokenId));
  }
  return config;
}

GenerationConfig ParseGenerationConfig(std::string_view text, const std::string& where) {
  const Json json = ParseJson(text, where, kLimits);
  const JsonReader reader(json, where);
  GenerationConfig config;
  config.eos_token_ids = ReadEosIds(reader);
  const auto number = [&](const char* key, double high) -> std::optional<double> {
    if (!reader.Has(key)) return std::nullopt;
    return reader.Number(key, 0, high);
  };
  config.temperature = number("temperature", 100);
  config.top_p = number("top_p", 1);
  config.min_p = number("min_p", 1);
  config.repetition_penalty = number("repetition_penalty", 100);
  if (reader.Has("top_k")) config.top_k = static_cast<int32_t>(reader.Int("top_k", 0, kMaxTokenId));
  return config;
}

}  // namespace fourstep
