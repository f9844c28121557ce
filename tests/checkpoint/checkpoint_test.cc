// Checkpoints through real files, in both dialects, in one file and in shards.
#include "checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "backend/linear_stack.h"
#include "base/error.h"
#include "checkpoint_files.h"
#include "formats/bfloat16.h"
#include "formats/e4m3.h"

namespace fourstep {
namespace {

using testing::ElementsAre;

constexpr char kModule[] = "model.layers.0.mlp.up_proj";
constexpr int64_t kN = 96, kK = 64;

std::vector<uint16_t> BFloats(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> out(n);
  for (uint16_t& bits : out) bits = BFloat16::Encode(normal(random)).bits;
  return out;
}

struct DialectCase {
  Dialect dialect;
  bool weights_only;
  int64_t shard_bytes;
};

class RoundTrip : public testing::TestWithParam<DialectCase> {};

TEST_P(RoundTrip, GivesTheSameWeightBitForBit) {
  const auto [dialect, weights_only, shard_bytes] = GetParam();
  const TemporaryFolder folder;
  const RandomNvFp4 random(kN, kK, 1);
  NvFp4Module module = random.Module(kModule, kN, kK);
  module.global_scale = StorableScale(dialect, 1.7e-3f);
  if (!weights_only) module.input_scale = StorableScale(dialect, 0.01234f);
  const std::vector<uint16_t> table = BFloats(128 * 64, 2), norm = BFloats(64, 3);

  SafetensorsWriter writer(folder.path(), shard_bytes);
  writer.AddTensor("model.embed_tokens.weight", TensorType::kBf16, {128, 64}, Filler(table));
  AddNvFp4(writer, dialect, module);
  writer.AddTensor("model.norm.weight", TensorType::kBf16, {64}, Filler(norm));
  writer.Finish();
  const HfConfig source = ParseHfConfig(DumpJson(SmallConfig()), "config.json");
  WriteQuantizedConfig(folder.path(), source, dialect, {.nvfp4 = {kModule}, .weights_only = weights_only});

  EXPECT_EQ(std::filesystem::exists(folder.path() / "model.safetensors.index.json"), shard_bytes < 10000);
  Checkpoint checkpoint = Checkpoint::Open(folder.path());
  EXPECT_EQ(checkpoint.dialect(), dialect);
  const LinearWeight read = checkpoint.Linear(kModule, kN, kK);
  EXPECT_EQ(read.name, kModule);
  EXPECT_EQ(read.format, WeightFormat::kNvFp4);
  EXPECT_EQ(read.n, kN);
  EXPECT_EQ(read.k, kK);
  EXPECT_TRUE(SameBytes(read.values, random.codes));
  EXPECT_TRUE(SameBytes(std::as_bytes(read.block_scales), random.block_scales));
  EXPECT_EQ(FloatBits(read.global_scale), FloatBits(module.global_scale));
  EXPECT_EQ(read.input_scale, module.input_scale);
  EXPECT_TRUE(read.bias.empty());
  EXPECT_TRUE(read.pre_quant_scale.empty());

  const LinearWeight embedding = checkpoint.Table("model.embed_tokens", 128, 64);
  EXPECT_EQ(embedding.format, WeightFormat::kBf16);
  EXPECT_TRUE(SameBytes(embedding.values, std::as_bytes(std::span(table))));
  EXPECT_THROW(checkpoint.ExpectAllRead(), Error);
  const std::span<const float> norm_read = checkpoint.Vector("model.norm.weight", 64);
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(norm_read[i], BFloat16::Decode({norm[i]}));
  checkpoint.ExpectAllRead();
}

INSTANTIATE_TEST_SUITE_P(Dialects, RoundTrip,
                         testing::Values(DialectCase{Dialect::kModelOpt, false, 1 << 20},
                                         DialectCase{Dialect::kModelOpt, false, 4000},
                                         DialectCase{Dialect::kModelOpt, true, 1 << 20},
                                         DialectCase{Dialect::kCompressedTensors, false, 1 << 20},
                                         DialectCase{Dialect::kCompressedTensors, false, 1},
                                         DialectCase{Dialect::kCompressedTensors, true, 1 << 20}));

// Checkpoints that ModelOpt and compressed-tensors wrote, and what they decode them to
// (tools/make_checkpoint_goldens.py). Their order of fp32 operations differs from ours by two roundings.
void ExpectDecodesAs(Checkpoint& checkpoint, const std::string& module, int64_t n, int64_t k) {
  const MappedFile file(checkpoint.folder() / "expected.safetensors");
  const TensorMap expected = ParseSafetensors(file.bytes(), "expected.safetensors");
  const TensorView& view = expected.at(module + ".weight");
  ASSERT_EQ(view.shape, (std::vector<int64_t>{n, k}));
  const LinearWeight weight = checkpoint.Linear(module, n, k);
  std::vector<float> row(static_cast<size_t>(k));
  for (int64_t i = 0; i < n; ++i) {
    DecodeRow(weight, i, row.data());
    for (int64_t j = 0; j < k; ++j) {
      float value;
      std::memcpy(&value, view.bytes.data() + 4 * (i * k + j), 4);
      EXPECT_NEAR(row[j], value, std::abs(value) * 0x1p-22f) << module << " " << i << " " << j;
    }
  }
}

std::filesystem::path Data(const char* name) {
  return std::filesystem::path(FOURSTEP_SOURCE_DIR) / "tests/checkpoint/data" / name;
}

TEST(Checkpoint, ReadsWhatModelOptWrites) {
  Checkpoint checkpoint = Checkpoint::Open(Data("modelopt"));
  EXPECT_EQ(checkpoint.dialect(), Dialect::kModelOpt);
  ExpectDecodesAs(checkpoint, "model.layers.0.mlp.up_proj", 8, 64);
  ExpectDecodesAs(checkpoint, "model.layers.0.mlp.down_proj", 8, 64);
  EXPECT_EQ(checkpoint.Linear("model.layers.0.mlp.down_proj", 8, 64).input_scale, 0.02f);
  checkpoint.ExpectAllRead();  // it has a scale of the cache, too
  EXPECT_EQ(checkpoint.kv_cache(), KvCacheFormat::kFp8);
}

TEST(Checkpoint, ReadsWhatCompressedTensorsWrites) {
  Checkpoint checkpoint = Checkpoint::Open(Data("compressed_tensors"));
  EXPECT_EQ(checkpoint.dialect(), Dialect::kCompressedTensors);
  for (const char* name : {"up_proj", "gate_proj", "down_proj"}) {
    ExpectDecodesAs(checkpoint, std::string("model.layers.0.mlp.") + name, 8, 64);
  }
  EXPECT_EQ(checkpoint.Linear("model.layers.0.mlp.up_proj", 8, 64).input_scale, 1 / 123.4f);
  EXPECT_FALSE(checkpoint.Linear("model.layers.0.mlp.gate_proj", 8, 64).input_scale);
  EXPECT_EQ(checkpoint.Linear("model.layers.0.mlp.gate_proj", 8, 64).format, WeightFormat::kNvFp4);
  EXPECT_EQ(checkpoint.Linear("model.layers.0.mlp.down_proj", 8, 64).format, WeightFormat::kMxFp4);
  checkpoint.ExpectAllRead();
}

// Whether a scale can be stored depends on its mantissa alone, so all of them at one exponent are all cases.
TEST(StorableScale, HoldsForEveryMantissa) {
  const Dialect dialect = Dialect::kCompressedTensors;
  int64_t num_changed = 0;
  for (uint32_t mantissa = 0; mantissa < 1u << 23; ++mantissa) {
    const float scale = FloatFromBits(0x3A000000u | mantissa);
    const float storable = StorableScale(dialect, scale);
    num_changed += storable != scale;
    ASSERT_EQ(StorableScale(dialect, storable), storable) << scale;
    ASSERT_LE(std::abs(storable - scale), 1.5f * 0x1p-34f) << scale;  // ulps of 2^-34: half of two roundings
    const float up = StorableScaleAtLeast(dialect, scale);
    ASSERT_EQ(StorableScale(dialect, up), up) << scale;
    ASSERT_GE(up, scale);
    ASSERT_LE(up - scale, 3 * 0x1p-34f) << scale;
    ASSERT_EQ(StorableScale(Dialect::kModelOpt, scale), scale);
  }
  EXPECT_GT(num_changed, 0);
}

// A folder with config.json and the tensors that a test adds.
class CheckpointFolder {
 public:
  CheckpointFolder() : writer_(folder_.path(), 1 << 20) {}
  SafetensorsWriter& writer() { return writer_; }
  Json config = SmallConfig();

  template <class T>
  void Add(const std::string& name, TensorType type, std::vector<int64_t> shape, std::vector<T> values) {
    writer_.AddTensor(name, type, std::move(shape), Filler(std::move(values)));
  }
  Checkpoint Open() {
    writer_.Finish();
    WriteFile(path() / "config.json", DumpJson(config));
    return Checkpoint::Open(path());
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
  SafetensorsWriter writer_;
};

Json ModelOptQuantization(const char* algorithm) {
  return {{"quant_method", "modelopt"}, {"quant_algo", algorithm}, {"ignore", {"lm_head"}}};
}

NvFp4Module InModelOpt(const RandomNvFp4& random, const std::string& name, std::optional<float> input_scale) {
  NvFp4Module module = random.Module(name, kN, kK);
  module.global_scale = 0.25f;
  module.input_scale = input_scale;
  return module;
}

TEST(Checkpoint, ReadsDenseTypesAndBiases) {
  CheckpointFolder folder;
  folder.Add<uint16_t>("a.weight", TensorType::kBf16, {2, 3}, {1, 2, 3, 4, 5, 6});
  folder.Add<uint16_t>("a.bias", TensorType::kF16, {2}, {0x3C00, 0xC000});
  folder.Add<uint16_t>("b.weight", TensorType::kF16, {1, 2}, {0x3C00, 0x3800});
  folder.Add<float>("c.weight", TensorType::kF32, {1, 2}, {0.1f, 0.2f});
  folder.Add<float>("c.bias", TensorType::kF32, {1}, {0.3f});
  Checkpoint checkpoint = folder.Open();
  EXPECT_EQ(checkpoint.dialect(), Dialect::kNone);
  const LinearWeight a = checkpoint.Linear("a", 2, 3);
  EXPECT_EQ(a.format, WeightFormat::kBf16);
  EXPECT_THAT(a.bias, ElementsAre(1.0f, -2.0f));
  EXPECT_EQ(checkpoint.Linear("b", 1, 2).format, WeightFormat::kFp16);
  EXPECT_EQ(checkpoint.Linear("c", 1, 2).format, WeightFormat::kFp32);
  EXPECT_THAT(checkpoint.Linear("c", 1, 2).bias, ElementsAre(0.3f));
  EXPECT_THAT(a.bias, ElementsAre(1.0f, -2.0f));  // still valid after further calls
  checkpoint.ExpectAllRead();
}

TEST(Checkpoint, DecidesByModuleWhetherItIsQuantised) {
  CheckpointFolder folder;
  const RandomNvFp4 random(kN, kK, 4);
  AddNvFp4(folder.writer(), Dialect::kModelOpt, InModelOpt(random, "model.layers.0.mlp.up_proj", 0.5f));
  folder.Add<uint16_t>("model.layers.0.mlp.gate_proj.weight", TensorType::kBf16, {kN, kK},
                       BFloats(kN * kK, 5));
  folder.config["quantization_config"] = ModelOptQuantization("NVFP4");
  Checkpoint checkpoint = folder.Open();
  EXPECT_EQ(checkpoint.Linear("model.layers.0.mlp.up_proj", kN, kK).format, WeightFormat::kNvFp4);
  EXPECT_EQ(checkpoint.Linear("model.layers.0.mlp.gate_proj", kN, kK).format, WeightFormat::kBf16);
}

TEST(Checkpoint, ReadsPreQuantScales) {
  CheckpointFolder folder;
  const RandomNvFp4 random(kN, kK, 6);
  AddNvFp4(folder.writer(), Dialect::kModelOpt, InModelOpt(random, "m", 0.5f));
  folder.Add<uint16_t>("m.pre_quant_scale", TensorType::kBf16, {kK}, std::vector<uint16_t>(kK, 0x3F00));
  folder.config["quantization_config"] = ModelOptQuantization("NVFP4_AWQ");
  Checkpoint checkpoint = folder.Open();
  EXPECT_THAT(checkpoint.Linear("m", kN, kK).pre_quant_scale, testing::Each(0.5f));
}

TEST(Checkpoint, FallsBackToHfQuantConfig) {
  for (const bool is_in_config : {false, true}) {
    CheckpointFolder folder;
    const RandomNvFp4 random(kN, kK, 7);
    AddNvFp4(folder.writer(), Dialect::kModelOpt, InModelOpt(random, "m", std::nullopt));
    // Where config.json speaks, the other file is not read: here it would be refused.
    if (is_in_config) folder.config["quantization_config"] = ModelOptQuantization("W4A16_NVFP4");
    const Json old = {{"producer", {{"name", "modelopt"}}},
                      {"quantization",
                       {{"quant_algo", is_in_config ? "FP8" : "W4A16_NVFP4"},
                        {"group_size", 16},
                        {"kv_cache_quant_algo", "FP8"},
                        {"exclude_modules", {"lm_head"}}}}};
    WriteFile(folder.path() / "hf_quant_config.json", DumpJson(old));
    Checkpoint checkpoint = folder.Open();
    EXPECT_EQ(checkpoint.dialect(), Dialect::kModelOpt);
    EXPECT_FALSE(checkpoint.Linear("m", kN, kK).input_scale);
  }
}

TEST(Checkpoint, SaysWhichCacheItAsksFor) {
  using F = KvCacheFormat;
  struct Case {
    const char* dialect;
    const char* key;
    Json value;
    F format;
  };
  const auto scheme = [](const char* more) {
    Json json = ParseJson(R"({"num_bits": 8, "type": "float"})", "scheme");
    json.update(ParseJson(more, "more"));
    return json;
  };
  const std::vector<Case> cases = {
      {"modelopt", "kv_cache_quant_algo", nullptr, F::kBf16},
      {"modelopt", "kv_cache_quant_algo", "FP8", F::kFp8},
      {"modelopt", "kv_cache_quant_algo", "NVFP4", F::kBf16},
      {"modelopt", "kv_cache_scheme", scheme(R"({"dynamic": false})"), F::kFp8},
      {"compressed-tensors", "kv_cache_scheme", nullptr, F::kBf16},
      {"compressed-tensors", "kv_cache_scheme",
       scheme(R"({"dynamic": false, "strategy": "tensor", "symmetric": true, "observer": "minmax"})"),
       F::kFp8},
      {"compressed-tensors", "kv_cache_scheme", scheme(R"({"dynamic": true})"), F::kBf16},
      {"compressed-tensors", "kv_cache_scheme", scheme(R"({"strategy": "attn_head"})"), F::kBf16},
      {"compressed-tensors", "kv_cache_scheme", scheme(R"({"type": "int"})"), F::kBf16},
      {"compressed-tensors", "kv_cache_scheme", scheme(R"({"num_bits": 4})"), F::kBf16},
  };
  const Json group = ParseJson(R"({"weights": {"num_bits": 4, "type": "float", "group_size": 16}})", "group");
  for (const Case& c : cases) {
    Json json = ModelOptQuantization("NVFP4");
    if (c.dialect == std::string("compressed-tensors"))
      json = {{"quant_method", c.dialect},
              {"format", "nvfp4-pack-quantized"},
              {"config_groups", {{"group_0", group}}}};
    json[c.key] = c.value;
    EXPECT_EQ(ParseQuantizationConfig(json, "config").kv_cache.value_or(F::kBf16), c.format) << json;
  }
  Json bad = ModelOptQuantization("NVFP4");
  bad["kv_cache_scheme"] = "FP8";
  EXPECT_THROW(ParseQuantizationConfig(bad, "config"), Error);
  bad["kv_cache_scheme"] = {{"type", "float"}};
  EXPECT_THROW(ParseQuantizationConfig(bad, "config"), Error);
  bad.erase("kv_cache_scheme");
  bad["kv_cache_quant_algo"] = 8;
  EXPECT_THROW(ParseQuantizationConfig(bad, "config"), Error);
}

TEST(Checkpoint, ReadsMixedPrecision) {
  CheckpointFolder folder;
  const RandomNvFp4 random(kN, kK, 8);
  AddNvFp4(folder.writer(), Dialect::kModelOpt, InModelOpt(random, "a", 0.5f));
  AddNvFp4(folder.writer(), Dialect::kModelOpt, InModelOpt(random, "b", std::nullopt));
  folder.config["quantization_config"] = ModelOptQuantization("MIXED_PRECISION");
  folder.config["quantization_config"]["quantized_layers"] = {
      {"a", {{"quant_algo", "NVFP4"}, {"group_size", 16}}}, {"b", {{"quant_algo", "W4A16_NVFP4"}}}};
  Checkpoint checkpoint = folder.Open();
  EXPECT_TRUE(checkpoint.Linear("a", kN, kK).input_scale);
  EXPECT_FALSE(checkpoint.Linear("b", kN, kK).input_scale);
}

std::vector<uint8_t> Fp8Values(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> out(n);
  for (uint8_t& code : out) {
    do code = static_cast<uint8_t>(random());
    while (E4M3::IsNaN(code));
  }
  return out;
}

Json EightBitFloats(const char* strategy) {
  return {{"num_bits", 8}, {"type", "float"}, {"strategy", strategy}, {"dynamic", false}};
}

void ExpectFp8(const LinearWeight& read, const std::vector<uint8_t>& values,
               const std::vector<float>& output_scales) {
  EXPECT_EQ(read.format, WeightFormat::kFp8);
  EXPECT_TRUE(SameBytes(read.values, std::as_bytes(std::span(values))));
  EXPECT_THAT(read.output_scales, testing::ElementsAreArray(output_scales));
  EXPECT_TRUE(read.block_scales.empty());
  EXPECT_FALSE(read.input_scale);  // activations stay BF16
}

TEST(Checkpoint, ReadsFp8OfModelOpt) {
  const std::vector<uint8_t> values = Fp8Values(kN * kK, 9);
  for (const bool is_hf_quant : {false, true}) {
    for (const bool has_input_scale : {false, true}) {
      CheckpointFolder folder;
      folder.Add<uint8_t>("m.weight", TensorType::kF8E4M3, {kN, kK}, values);
      folder.Add<float>("m.weight_scale", TensorType::kF32, {}, {0.25f});
      if (has_input_scale) folder.Add<float>("m.input_scale", TensorType::kF32, {}, {0.5f});
      if (is_hf_quant) {
        const Json config = {{"producer", {{"name", "modelopt"}}},
                             {"quantization", {{"quant_algo", "FP8"}, {"exclude_modules", {"lm_head"}}}}};
        WriteFile(folder.path() / "hf_quant_config.json", DumpJson(config));
      } else {
        folder.config["quantization_config"] = ModelOptQuantization("FP8");
      }
      Checkpoint checkpoint = folder.Open();
      EXPECT_EQ(checkpoint.dialect(), Dialect::kModelOpt);
      ExpectFp8(checkpoint.Linear("m", kN, kK), values, {0.25f});
      checkpoint.ExpectAllRead();
    }
  }
}

// One scale or one an output, in any type; inputs static, dynamic or in 16 bits.
TEST(Checkpoint, ReadsFp8OfCompressedTensors) {
  const std::vector<uint8_t> values = Fp8Values(kN * kK, 10);
  std::vector<uint16_t> scales(kN);
  std::vector<float> expected;
  for (size_t i = 0; i < scales.size(); ++i) {
    scales[i] = BFloat16::Encode(0.01f + static_cast<float>(i)).bits;
    expected.push_back(BFloat16::Decode({scales[i]}));
  }
  for (const char* strategy : {"tensor", "channel"}) {
    CheckpointFolder folder;
    Json group = {
        {"targets", {"Linear"}}, {"weights", EightBitFloats(strategy)}, {"input_activations", nullptr}};
    folder.Add<uint8_t>("m.weight", TensorType::kF8E4M3, {kN, kK}, values);
    if (std::string(strategy) == "tensor") {
      folder.Add<float>("m.weight_scale", TensorType::kF32, {1}, {0.25f});
      folder.Add<uint16_t>("m.input_scale", TensorType::kBf16, {1}, {0x3F80});
      group["input_activations"] = EightBitFloats("tensor");
    } else {
      folder.Add<uint16_t>("m.weight_scale", TensorType::kBf16, {kN, 1}, scales);
      group["input_activations"] = EightBitFloats("token");
      group["input_activations"]["dynamic"] = true;
    }
    folder.config["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                            {"format", "float-quantized"},
                                            {"config_groups", {{"group_0", group}}},
                                            {"ignore", {"lm_head"}}};
    Checkpoint checkpoint = folder.Open();
    ExpectFp8(checkpoint.Linear("m", kN, kK), values,
              std::string(strategy) == "tensor" ? std::vector<float>{0.25f} : expected);
    checkpoint.ExpectAllRead();
  }
}

// NVFP4 linears and a head in FP8 or NVFP4, as the quantiser writes them.
TEST(Checkpoint, ReadsQuantisedHeads) {
  const RandomNvFp4 random(kN, kK, 11), head(kN, kK, 12);
  const std::vector<uint8_t> values = Fp8Values(kN * kK, 13);
  for (const Dialect dialect : {Dialect::kModelOpt, Dialect::kCompressedTensors}) {
    for (const WeightFormat format : {WeightFormat::kFp8, WeightFormat::kNvFp4}) {
      for (const bool weights_only : {false, true}) {
        const TemporaryFolder folder;
        SafetensorsWriter writer(folder.path(), 1 << 20);
        std::vector<NvFp4Module> modules = {random.Module(kModule, kN, kK), head.Module("lm_head", kN, kK)};
        if (format == WeightFormat::kFp8) modules.pop_back();
        for (NvFp4Module& module : modules) {
          module.global_scale = 0.25f;
          if (!weights_only) module.input_scale = 0.5f;
          AddNvFp4(writer, dialect, module);
        }
        std::vector<float> scales(static_cast<size_t>(NumFp8Scales(dialect, kN)), 0.1f);
        scales.back() = 0.3f;
        if (format == WeightFormat::kFp8)
          AddFp8(writer, dialect, {"lm_head", kN, kK, scales, Filler(values)});
        writer.Finish();
        const HfConfig source = ParseHfConfig(DumpJson(SmallConfig()), "config.json");
        EXPECT_TRUE(source.tie_word_embeddings);
        WriteQuantizedConfig(folder.path(), source, dialect,
                             {.nvfp4 = {kModule}, .weights_only = weights_only, .head = format});

        for (const bool from_older_place : {false, true}) {
          if (from_older_place && dialect != Dialect::kModelOpt) continue;
          if (from_older_place) WriteFile(folder.path() / "config.json", DumpJson(SmallConfig()));
          Checkpoint checkpoint = Checkpoint::Open(folder.path());
          EXPECT_EQ(checkpoint.dialect(), dialect);
          EXPECT_EQ(checkpoint.config().tie_word_embeddings, from_older_place);
          EXPECT_EQ(checkpoint.Linear(kModule, kN, kK).input_scale.has_value(), !weights_only);
          const LinearWeight read = checkpoint.Linear("lm_head", kN, kK);
          if (format == WeightFormat::kFp8) {
            ExpectFp8(read, values, scales);
          } else {
            EXPECT_EQ(read.format, WeightFormat::kNvFp4);
            EXPECT_EQ(read.input_scale.has_value(), !weights_only);
          }
          checkpoint.ExpectAllRead();
        }
      }
    }
  }
}

// Of ModelOpt, where no algorithm a module is listed.
TEST(Checkpoint, ReadsMixedGroups) {
  CheckpointFolder folder;
  const RandomNvFp4 random(kN, kK, 14);
  const std::vector<uint8_t> values = Fp8Values(kN * kK, 15);
  AddNvFp4(folder.writer(), Dialect::kModelOpt, InModelOpt(random, "a", std::nullopt));
  folder.Add<uint8_t>("b.weight", TensorType::kF8E4M3, {kN, kK}, values);
  folder.Add<float>("b.weight_scale", TensorType::kF32, {}, {2.0f});
  folder.config["quantization_config"] = ModelOptQuantization("MIXED_PRECISION");
  folder.config["quantization_config"]["config_groups"] = {
      {"group_0", {{"weights", {{"num_bits", 4}, {"type", "float"}, {"group_size", 16}}}}},
      {"group_1",
       {{"weights", {{"num_bits", 8}, {"type", "float"}}},
        {"input_activations", {{"num_bits", 8}, {"type", "float"}}}}}};
  Checkpoint checkpoint = folder.Open();
  EXPECT_EQ(checkpoint.Linear("a", kN, kK).format, WeightFormat::kNvFp4);
  ExpectFp8(checkpoint.Linear("b", kN, kK), values, {2.0f});
  checkpoint.ExpectAllRead();
}

TEST(Checkpoint, TakesEosIdsOfGenerationConfigFirst) {
  CheckpointFolder folder;
  folder.Add<float>("a.weight", TensorType::kF32, {1, 1}, {1.0f});
  EXPECT_THAT(folder.Open().eos_token_ids(), ElementsAre(2));
  WriteFile(folder.path() / "generation_config.json", R"({"eos_token_id": [5, 6], "do_sample": true})");
  EXPECT_THAT(folder.Open().eos_token_ids(), ElementsAre(5, 6));
}

TEST(Checkpoint, AllowsKnownLeftoversOnly) {
  CheckpointFolder folder;
  for (const char* name :
       {"lm_head.weight", "model.layers.0.self_attn.k_proj.k_scale", "model.layers.0.self_attn.attn.v_scale",
        "model.layers.0.self_attn.rotary_emb.inv_freq"}) {
    folder.Add<float>(name, TensorType::kF32, {1}, {1.0f});
  }
  folder.Open().ExpectAllRead();
  folder.config["tie_word_embeddings"] = false;
  EXPECT_THROW(folder.Open().ExpectAllRead(), Error);
}

}  // namespace
}  // namespace fourstep
