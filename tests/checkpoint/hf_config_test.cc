// config.json and generation_config.json: what transformers reads out of them (tools/make_config_goldens.py),
// and what is refused.
#include "checkpoint/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "base/error.h"
#include "checkpoint_files.h"

namespace fourstep {
namespace {

std::vector<Json> Goldens(const char* kind) {
  std::ifstream file(std::string(FOURSTEP_SOURCE_DIR) + "/tests/checkpoint/data/config_goldens.jsonl");
  std::vector<Json> goldens;
  for (std::string line; std::getline(file, line);) {
    Json golden = ParseJson(line, "config_goldens.jsonl");
    if (golden.contains(kind)) goldens.push_back(std::move(golden));
  }
  return goldens;
}

// The rope settings in transformers' names; what transformers does not state is left out.
Json RopeJson(const RopeConfig& rope, const Json& expected) {
  const std::map<RopeType, const char*> names = {{RopeType::kDefault, "default"},
                                                 {RopeType::kLinear, "linear"},
                                                 {RopeType::kLlama3, "llama3"},
                                                 {RopeType::kYarn, "yarn"}};
  Json all = {{"rope_type", names.at(rope.type)},
              {"rope_theta", rope.theta},
              {"factor", rope.factor},
              {"original_max_position_embeddings", rope.original_max_positions},
              {"low_freq_factor", rope.low_freq_factor},
              {"high_freq_factor", rope.high_freq_factor},
              {"beta_fast", rope.beta_fast},
              {"beta_slow", rope.beta_slow},
              {"truncate", rope.truncate}};
  if (rope.attention_factor) all["attention_factor"] = *rope.attention_factor;
  if (rope.mscale) all["mscale"] = *rope.mscale;
  if (rope.mscale_all_dim) all["mscale_all_dim"] = *rope.mscale_all_dim;
  Json out = Json::object();
  for (const auto& [key, value] : all.items()) {
    if (expected.contains(key)) out[key] = value;
  }
  return out;
}

TEST(HfConfig, ReadsWhatTransformersReads) {
  const std::vector<Json> goldens = Goldens("config");
  ASSERT_GE(goldens.size(), 50u);
  for (const Json& golden : goldens) {
    SCOPED_TRACE(golden["name"].get<std::string>());
    const Json& expected = golden["expected"];
    const HfConfig config = ParseHfConfig(DumpJson(golden["config"]), "config.json");
    EXPECT_EQ(config.architecture, expected["architecture"]);
    EXPECT_EQ(config.hidden_size, expected["hidden_size"]);
    EXPECT_EQ(config.intermediate_size, expected["intermediate_size"]);
    EXPECT_EQ(config.num_layers, expected["num_layers"]);
    EXPECT_EQ(config.num_heads, expected["num_heads"]);
    EXPECT_EQ(config.num_kv_heads, expected["num_kv_heads"]);
    EXPECT_EQ(config.head_dim, expected["head_dim"]);
    EXPECT_EQ(config.vocab_size, expected["vocab_size"]);
    EXPECT_EQ(config.max_positions, expected["max_positions"]);
    EXPECT_EQ(config.rms_norm_epsilon, expected["rms_norm_epsilon"]);
    EXPECT_EQ(config.tie_word_embeddings, expected["tie_word_embeddings"]);
    EXPECT_EQ(config.attention_bias, expected["attention_bias"]);
    EXPECT_EQ(Json(config.eos_token_ids), expected["eos"]);
    EXPECT_EQ(config.bos_token_id ? Json(*config.bos_token_id) : Json(), expected["bos"]);
    EXPECT_EQ(RopeJson(config.rope, expected["rope"]), expected["rope"]);
  }
}

TEST(HfConfig, FillsInDefaults) {
  Json json = SmallConfig();
  for (const char* key : {"num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta",
                          "tie_word_embeddings", "hidden_act", "eos_token_id"}) {
    json.erase(key);
  }
  const HfConfig config = ParseHfConfig(DumpJson(json), "config.json");
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.rms_norm_epsilon, 1e-6);
  EXPECT_EQ(config.rope.theta, 10000);
  EXPECT_EQ(config.rope.type, RopeType::kDefault);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_TRUE(config.eos_token_ids.empty());
  EXPECT_FALSE(config.bos_token_id);
}

TEST(HfConfig, KeepsTheWholeFileForWriters) {
  Json json = SmallConfig();
  json["quantization_config"] = {{"quant_method", "anything"}};
  EXPECT_EQ(ParseHfConfig(DumpJson(json), "config.json").json, json);
}

TEST(GenerationConfig, ReadsWhatTransformersReads) {
  const auto json = [](const auto& value) { return value ? Json(*value) : Json(); };
  const std::vector<Json> goldens = Goldens("generation");
  ASSERT_GE(goldens.size(), 3u);
  for (const Json& golden : goldens) {
    const Json& expected = golden["expected"];
    const GenerationConfig config =
        ParseGenerationConfig(DumpJson(golden["generation"]), "generation_config.json");
    EXPECT_EQ(Json(config.eos_token_ids), expected["eos"]);
    EXPECT_EQ(json(config.temperature), expected["temperature"]);
    EXPECT_EQ(json(config.top_p), expected["top_p"]);
    EXPECT_EQ(json(config.min_p), expected["min_p"]);
    EXPECT_EQ(json(config.top_k), expected["top_k"]);
  }
}

// A change to SmallConfig and words of the message that it must give.
struct BadConfig {
  const char* pointer;
  Json value;
  std::vector<const char*> words;
};

TEST(HfConfig, RefusesByName) {
  const Json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}};
  const auto with = [](Json json, const char* key, Json value) {
    json[key] = std::move(value);
    return json;
  };
  const BadConfig cases[] = {
      {"/architectures", nullptr, {"architectures", "array of one string"}},
      {"/architectures", {"A", "B"}, {"architectures"}},
      {"/architectures", "Qwen3ForCausalLM", {"architectures"}},
      {"/hidden_size", nullptr, {"hidden_size", "integer"}},
      {"/hidden_size", -1, {"hidden_size", "-1", "1..1048576"}},
      {"/hidden_size", 0, {"hidden_size", "0"}},
      {"/hidden_size", 64.0, {"hidden_size", "64.0", "integer"}},
      {"/hidden_size", "64", {"hidden_size", "integer"}},
      {"/hidden_size", 2000000, {"hidden_size", "2000000"}},
      {"/intermediate_size", uint64_t{1} << 63, {"intermediate_size"}},
      {"/num_hidden_layers", 5000, {"num_hidden_layers", "1..4096"}},
      {"/num_attention_heads", 0, {"num_attention_heads"}},
      {"/num_key_value_heads", 3, {"num_attention_heads", "num_key_value_heads", "3"}},
      {"/head_dim", 15, {"head_dim", "15", "even"}},
      {"/vocab_size", 1 << 25, {"vocab_size", "33554432"}},
      {"/max_position_embeddings", "many", {"max_position_embeddings", "integer"}},
      {"/rms_norm_eps", 0, {"rms_norm_eps"}},
      {"/rms_norm_eps", true, {"rms_norm_eps", "number"}},
      {"/tie_word_embeddings", 1, {"tie_word_embeddings", "true or false"}},
      {"/hidden_act", "gelu", {"hidden_act", "gelu", "silu"}},
      {"/use_sliding_window", true, {"use_sliding_window"}},
      {"/sliding_window", 128, {"sliding_window", "use_sliding_window"}},
      {"/mlp_bias", true, {"mlp_bias"}},
      {"/layer_types", {"full_attention", "sliding_attention"}, {"layer_types", "sliding_attention"}},
      {"/layer_types", {"full_attention"}, {"layer_types", "2"}},
      {"/partial_rotary_factor", 0.5, {"partial_rotary_factor"}},
      {"/eos_token_id", -1, {"eos_token_id", "-1"}},
      {"/eos_token_id", {2, "x"}, {"eos_token_id", "x"}},
      {"/bos_token_id", 1 << 24, {"bos_token_id"}},
      {"/attn_logit_softcapping", 30.0, {"unknown key", "attn_logit_softcapping"}},
      {"/rope_theta", 0, {"rope_theta"}},
      {"/rope_theta", "big", {"rope_theta", "number"}},
      {"/rope_scaling", "yarn", {"rope_scaling", "object"}},
      {"/rope_scaling", {{"rope_type", "longrope"}, {"factor", 4}}, {"rope_scaling", "longrope"}},
      {"/rope_scaling", {{"type", "dynamic"}, {"factor", 4}}, {"rope_scaling", "dynamic"}},
      {"/rope_scaling",
       {{"type", "linear"}, {"rope_type", "yarn"}, {"factor", 4}},
       {"type", "linear", "yarn"}},
      {"/rope_scaling", {{"rope_type", "linear"}}, {"factor", "missing"}},
      {"/rope_scaling", {{"rope_type", "linear"}, {"factor", 0.5}}, {"factor", "0.5"}},
      {"/rope_scaling", {{"rope_type", "default"}, {"factor", 2}}, {"unknown key", "factor"}},
      {"/rope_scaling", {{"rope_type", "llama3"}, {"factor", 8}}, {"original_max_position_embeddings"}},
      {"/rope_scaling",
       {{"rope_type", "llama3"},
        {"factor", 8},
        {"low_freq_factor", 4},
        {"high_freq_factor", 4},
        {"original_max_position_embeddings", 8192}},
       {"high_freq_factor", "low_freq_factor"}},
      {"/rope_scaling", with(yarn, "beta_fast", 0.5), {"beta_fast", "beta_slow"}},
      {"/rope_scaling", with(yarn, "mscale", -1), {"mscale"}},
      {"/rope_scaling", with(yarn, "truncate", 1), {"truncate"}},
      {"/rope_scaling", with(yarn, "finetuned", true), {"unknown key", "finetuned"}},
      {"/rope_scaling", with(yarn, "partial_rotary_factor", 0.25), {"partial_rotary_factor"}},
      {"/rope_parameters", with(yarn, "rope_theta", 5000.0), {"rope_theta", "5000", "1000000"}},
  };
  for (const BadConfig& c : cases) {
    Json json = SmallConfig();
    json[Json::json_pointer(c.pointer)] = c.value;
    try {
      ParseHfConfig(DumpJson(json), "config.json");
      ADD_FAILURE() << c.pointer << " " << c.value << " was accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith("config.json: ")) << c.pointer;
      EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
      for (const char* word : c.words) EXPECT_THAT(error.what(), testing::HasSubstr(word));
    }
  }
}

TEST(HfConfig, RefusesBothSpellingsOfRope) {
  Json json = SmallConfig();
  json["rope_scaling"] = json["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 2}};
  EXPECT_THROW(ParseHfConfig(DumpJson(json), "config.json"), Error);
  json["rope_scaling"] = nullptr;
  EXPECT_EQ(ParseHfConfig(DumpJson(json), "config.json").rope.factor, 2);
}

TEST(GenerationConfig, RefusesByName) {
  for (const char* text :
       {"[]", "{", R"({"temperature": -1})", R"({"top_p": 1.5})", R"({"top_k": 2.5})", R"({"min_p": "x"})",
        R"({"repetition_penalty": -1})", R"({"eos_token_id": [1.5]})"}) {
    EXPECT_THROW(ParseGenerationConfig(text, "generation_config.json"), Error) << text;
  }
}

}  // namespace
}  // namespace fourstep
