// Rotary frequencies against transformers' (tools/make_model_goldens.py wrote them), through config.json.
#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "tests/model/tiny_checkpoint.h"

namespace fourstep {
namespace {

Json ConfigWith(const Json& golden) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"hidden_size", 256},
          {"intermediate_size", 64},
          {"num_hidden_layers", 1},
          {"num_attention_heads", 4},
          {"head_dim", golden["head_dim"]},
          {"vocab_size", 8},
          {"max_position_embeddings", golden["max_positions"]}};
}

Json Goldens() {
  const std::string path = TinyCheckpoint("rope_goldens.json").string();
  return ParseJson(ReadFile(path, size_t{1} << 20), path);
}

// Both sides compute in fp32 with the same operations, of which a power may differ by an ulp (2^-23,
// relative). The ramps of llama3 and yarn blend the plain frequency with a smaller one, by a weight that errs
// by a few ulps of 1: four ulps of the plain frequency in all.
void ExpectSame(const RopeTable& table, const Json& golden) {
  const auto expected = golden["inv_freq"].get<std::vector<float>>();
  ASSERT_EQ(table.inv_freq.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double exponent = -static_cast<double>(i) / static_cast<double>(expected.size());
    const double plain = std::pow(golden["rope"]["rope_theta"].get<double>(), exponent);
    EXPECT_NEAR(table.inv_freq[i], expected[i], 4 * 0x1p-23 * plain) << i;
  }
  EXPECT_FLOAT_EQ(table.attention_factor, golden["attention_factor"].get<float>());
}

TEST(Rope, EqualsTransformers) {
  std::set<std::string> types;
  for (const Json& golden : Goldens()) {
    SCOPED_TRACE(golden["rope"].dump());
    Json config = ConfigWith(golden);
    config["rope_parameters"] = golden["rope"];
    const HfConfig parsed = ParseHfConfig(config.dump(), "config.json");
    ExpectSame(MakeRopeTable(parsed.rope, parsed.head_dim), golden);
    types.insert(golden["rope"]["rope_type"].get<std::string>());
  }
  EXPECT_EQ(types, (std::set<std::string>{"default", "linear", "llama3", "yarn"}));
}

TEST(Rope, EqualsTransformersInTheOlderSpelling) {
  for (const Json& golden : Goldens()) {
    SCOPED_TRACE(golden["rope"].dump());
    Json config = ConfigWith(golden), scaling = golden["rope"];
    config["rope_theta"] = scaling["rope_theta"];
    scaling.erase("rope_theta");
    scaling["type"] = scaling["rope_type"];
    scaling.erase("rope_type");
    if (scaling["type"] != "default") config["rope_scaling"] = scaling;
    const HfConfig parsed = ParseHfConfig(config.dump(), "config.json");
    ExpectSame(MakeRopeTable(parsed.rope, parsed.head_dim), golden);
  }
}

}  // namespace
}  // namespace fourstep
