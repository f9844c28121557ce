// What Model::Load accepts, refuses and says of a checkpoint, and what an observer sees.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "formats/e4m3.h"
#include "tests/model/edited_checkpoint.h"
#include "tests/model/golden.h"

namespace fourstep {
namespace {

const std::string kLayer = "model.layers.1.";

std::string Refusal(const std::filesystem::path& folder, std::optional<Numerics> numerics) {
  try {
    TinyModel(folder, "reference", numerics);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing";
}

void ExpectRefused(const std::string& name, const EditedCheckpoint::Edit& edit,
                   const std::vector<std::string>& says, std::optional<Numerics> numerics = {}) {
  const EditedCheckpoint edited(name, edit);
  const std::string what = Refusal(edited.path(), numerics);
  for (const std::string& part : says) EXPECT_THAT(what, testing::HasSubstr(part));
  EXPECT_EQ(what.find('\n'), std::string::npos) << what;
}

void ExpectConfigRefused(const std::string& name, const std::string& key, const Json& value,
                         const std::vector<std::string>& says) {
  ExpectRefused(
      name, [&](Json& config, OwnedTensors&) { config[key] = value; }, says);
}

TEST(Load, RefusesConfigurationsThatTheForwardDoesNotHave) {
  ExpectConfigRefused(
      "tiny-qwen3", "architectures", {"Qwen3MoeForCausalLM"},
      {"config.json", "Qwen3MoeForCausalLM", "Qwen3ForCausalLM, Qwen2ForCausalLM, LlamaForCausalLM"});
  for (const char* name : {"tiny-qwen3", "tiny-llama", "tiny-qwen2"})
    ExpectConfigRefused(name, "attention_bias", true, {"config.json", "attention_bias"});
  ExpectConfigRefused("tiny-llama", "mlp_bias", true, {"mlp_bias"});
  ExpectConfigRefused("tiny-qwen3", "use_sliding_window", true, {"use_sliding_window"});
  ExpectConfigRefused("tiny-llama", "sliding_window", 128, {"sliding_window"});
  ExpectConfigRefused("tiny-qwen3", "layer_types", {"full_attention", "sliding_attention"}, {"layer_types"});
  for (const char* type : {"dynamic", "longrope", "su", "mrope"}) {
    ExpectConfigRefused("tiny-qwen3", "rope_parameters",
                        {{"rope_type", type}, {"factor", 2.0}, {"rope_theta", 1e4}}, {"rope", type});
  }
  ExpectConfigRefused("tiny-qwen3", "hidden_act", "gelu", {"hidden_act"});
}

TEST(Load, RefusesTensorsThatDoNotFit) {
  const auto erase = [](const std::string& tensor) {
    return [tensor](Json&, OwnedTensors& t) { ASSERT_EQ(t.erase(tensor), 1u); };
  };
  const auto add = [](const std::string& tensor, int64_t n) {
    return [tensor, n](Json&, OwnedTensors& t) {
      t[tensor] = {TensorType::kBf16, {n}, std::vector<std::byte>(static_cast<size_t>(2 * n))};
    };
  };
  for (const std::string tensor :
       {"mlp.up_proj.weight", "self_attn.o_proj.weight", "self_attn.q_norm.weight", "input_layernorm.weight"})
    ExpectRefused("tiny-qwen3", erase(kLayer + tensor), {kLayer + tensor, "missing"});
  for (const std::string tensor : {"model.norm.weight", "model.embed_tokens.weight"})
    ExpectRefused("tiny-qwen3", erase(tensor), {tensor, "missing"});
  ExpectRefused("tiny-llama", erase("lm_head.weight"), {"lm_head.weight", "missing"});
  ExpectRefused("tiny-qwen2", erase(kLayer + "self_attn.k_proj.bias"),
                {kLayer + "self_attn.k_proj.bias", "missing"});
  ExpectRefused("tiny-qwen3", add(kLayer + "self_attn.q_proj.bias", 96),
                {kLayer + "self_attn.q_proj.bias", "not used by Qwen3ForCausalLM"});
  ExpectRefused("tiny-qwen2", add(kLayer + "self_attn.o_proj.bias", 64),
                {kLayer + "self_attn.o_proj.bias", "not used"});
  ExpectRefused("tiny-llama", add(kLayer + "self_attn.q_norm.weight", 16),
                {kLayer + "self_attn.q_norm.weight", "not used"});
  ExpectRefused("tiny-llama", add("model.layers.2.input_layernorm.weight", 64),
                {"model.layers.2.input_layernorm.weight", "not used"});
  const auto reshape = [](const std::string& tensor, std::vector<int64_t> shape) {
    return [tensor, shape](Json&, OwnedTensors& t) { t.at(tensor).shape = shape; };
  };
  ExpectRefused("tiny-qwen3", reshape(kLayer + "mlp.down_proj.weight", {96, 64}),
                {kLayer + "mlp.down_proj.weight", "[96, 64]", "[64, 96]"});
  ExpectRefused("tiny-qwen3", reshape("model.norm.weight", {8, 8}), {"model.norm.weight", "[8, 8]", "[64]"});
  // A head for more kv heads than there are weights.
  ExpectConfigRefused("tiny-qwen3", "num_key_value_heads", 4, {"k_proj.weight", "[48, 64]", "[96, 64]"});
}

TEST(Load, AllowsATiedHeadThatIsThereAllTheSame) {
  const EditedCheckpoint edited(
      "tiny-qwen3", [](Json&, OwnedTensors& t) { t["lm_head.weight"] = t.at("model.embed_tokens.weight"); });
  EXPECT_EQ(Refusal(edited.path(), {}), "nothing");
}

TEST(Load, ChoosesAndRefusesNumerics) {
  const auto chosen = [](const std::string& name) {
    return TinyModel(TinyCheckpoint(name), "reference", {}).model().numerics();
  };
  EXPECT_EQ(chosen("tiny-qwen3"), Numerics::kBf16);
  EXPECT_EQ(chosen("tiny-qwen3-nvfp4"), Numerics::kW4A4);
  EXPECT_EQ(chosen("tiny-qwen2-nvfp4"), Numerics::kW4A4);
  EXPECT_EQ(chosen("tiny-llama-nvfp4"), Numerics::kW4A4);
  EXPECT_EQ(chosen("tiny-llama-nvfp4a16"), Numerics::kW4A16);
  const auto refusal = [](const std::string& name, Numerics numerics) {
    return Refusal(TinyCheckpoint(name), numerics);
  };
  EXPECT_THAT(refusal("tiny-qwen3", Numerics::kW4A4), testing::HasSubstr("no 4-bit weights"));
  EXPECT_THAT(refusal("tiny-qwen3", Numerics::kW4A16), testing::HasSubstr("no 4-bit weights"));
  EXPECT_THAT(refusal("tiny-llama-nvfp4a16", Numerics::kW4A4), testing::HasSubstr("no input scale"));
  EXPECT_EQ(refusal("tiny-llama-nvfp4a16", Numerics::kBf16), "nothing");
}

// tiny-qwen3-nvfp4 with `module` of all layers dense again, as in tiny-qwen3.
EditedCheckpoint::Edit MakeDense(const std::string& module) {
  return [module](Json&, OwnedTensors& t) {
    const OwnedTensors dense = TensorsOf("tiny-qwen3");
    for (const char* layer : {"model.layers.0.", "model.layers.1."}) {
      for (const char* suffix : {".weight_scale", ".weight_scale_2", ".input_scale"})
        ASSERT_EQ(t.erase(layer + module + suffix), 1u);
      t[layer + module + ".weight"] = dense.at(layer + module + ".weight");
    }
  };
}

TEST(Load, RunsDenseLinearsBesideFourBitOnesButNotInOneStack) {
  const Golden golden("tiny-qwen3-nvfp4");
  const std::vector<int32_t> prompt = golden.Ints("prompt"), rows = golden.Ints("rows");
  const Logits quantised = golden.Rows("w4a16.exact"), dense = Golden("tiny-qwen3").Rows("bf16.exact");
  const EditedCheckpoint down("tiny-qwen3-nvfp4", MakeDense("mlp.down_proj"));
  TinyModel w4a16(down.path(), "reference", Numerics::kW4A16);
  EXPECT_EQ(w4a16.model().numerics(), Numerics::kW4A16);
  const Logits got = w4a16.Run(prompt, rows, 64);
  EXPECT_GT(Measure(got, quantised).relative, 0.02);  // it is another model
  EXPECT_LT(Measure(got, dense).relative, Measure(quantised, dense).relative);
  EXPECT_EQ(TinyModel(down.path(), "reference", {}).model().numerics(), Numerics::kW4A4);

  for (const auto& [module, other] : std::vector<std::pair<std::string, std::string>>{
           {"self_attn.k_proj", "self_attn.q_proj"}, {"mlp.gate_proj", "mlp.up_proj"}}) {
    ExpectRefused("tiny-qwen3-nvfp4", MakeDense(module),
                  {"model.layers.0." + module, "model.layers.0." + other, "dense"});
    const EditedCheckpoint mixed("tiny-qwen3-nvfp4", MakeDense(module));
    EXPECT_EQ(Refusal(mixed.path(), Numerics::kBf16), "nothing");  // all of it decoded
  }
}

TEST(Load, RefusesStacksThatDoNotShareWhatTheirInputIsMultipliedBy) {
  const auto set_scale = [](Json&, OwnedTensors& t) {
    const float scale = 0.125f;
    std::memcpy(t.at(kLayer + "self_attn.v_proj.input_scale").bytes.data(), &scale, 4);
  };
  ExpectRefused("tiny-qwen3-nvfp4", set_scale, {kLayer + "self_attn.v_proj", "input scale is 0.125"});
  const EditedCheckpoint edited("tiny-qwen3-nvfp4", set_scale);
  EXPECT_EQ(Refusal(edited.path(), Numerics::kW4A16), "nothing");
}

// The same numbers in another type are the same model.
TEST(Load, ReadsDenseTensorsOfEveryType) {
  const Golden golden("tiny-qwen3");
  const std::vector<int32_t> prompt = golden.Ints("prompt"), rows = golden.Ints("rows");
  const Logits expected = TinyModel(TinyCheckpoint("tiny-qwen3"), "reference", {}).Run(prompt, rows, 64);
  const EditedCheckpoint floats("tiny-qwen3", [](Json&, OwnedTensors& t) {
    for (auto& [name, tensor] : t) {
      std::vector<std::byte> wide(2 * tensor.bytes.size());
      for (size_t i = 0; i < tensor.bytes.size(); i += 2)  // BF16 is the upper half of fp32
        std::copy_n(&tensor.bytes[i], 2, &wide[2 * i + 2]);
      tensor.bytes = std::move(wide);
      tensor.type = TensorType::kF32;
    }
  });
  EXPECT_EQ(TinyModel(floats.path(), "reference", {}).Run(prompt, rows, 64), expected);
}

// Linears of a dense checkpoint in FP8, with a scale an output or one for all of them that is a power of two,
// and those that are the same in BF16.
struct Fp8Twins {
  OwnedTensor fp8, scales, dense;
};

Fp8Twins MakeTwins(const OwnedTensor& tensor, bool per_output) {
  const int64_t n = tensor.shape[0], k = tensor.shape[1], row = per_output ? k : n * k;
  Fp8Twins twins{.fp8 = {TensorType::kF8E4M3, tensor.shape, {}},
                 .scales = {TensorType::kF32, {}, {}},
                 .dense = {TensorType::kBf16, tensor.shape, {}}};
  if (per_output) twins.scales.shape = {n, 1};
  const auto push = [](std::vector<std::byte>& to, const auto& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    to.insert(to.end(), bytes.begin(), bytes.end());
  };
  const auto value = [&](int64_t i) {
    uint16_t bits;
    std::memcpy(&bits, &tensor.bytes[static_cast<size_t>(2 * i)], 2);
    return BFloat16::Decode({bits});
  };
  float scale = 1;
  for (int64_t i = 0; i < n * k; ++i) {
    if (i % row == 0) {
      float amax = 0;
      for (int64_t j = i; j < i + row; ++j) amax = std::max(amax, std::fabs(value(j)));
      scale = std::exp2(std::ceil(std::log2(E4M3::Scale(amax))));
      push(twins.scales.bytes, scale);
    }
    const uint8_t code = E4M3::Encode(value(i) / scale);
    push(twins.fp8.bytes, code);
    push(twins.dense.bytes, BFloat16::Encode(E4M3::Decode(code) * scale).bits);
  }
  return twins;
}

bool IsLinear(const std::string& tensor) {
  return tensor.ends_with("_proj.weight") || tensor == "lm_head.weight";
}

// `name` with its linears and a head of its own as one or the other of the twins.
EditedCheckpoint TwinCheckpoint(const std::string& name, Dialect dialect, bool is_fp8) {
  return EditedCheckpoint(name, [&](Json& config, OwnedTensors& t) {
    config["tie_word_embeddings"] = false;
    t.try_emplace("lm_head.weight", t.at("model.embed_tokens.weight"));
    for (const auto& [tensor, owned] : OwnedTensors(t)) {
      if (!IsLinear(tensor)) continue;
      const Fp8Twins twins = MakeTwins(owned, dialect == Dialect::kCompressedTensors);
      t[tensor] = is_fp8 ? twins.fp8 : twins.dense;
      if (is_fp8) t[tensor + "_scale"] = twins.scales;
    }
    if (!is_fp8) return;
    const Json weights = {{"num_bits", 8}, {"type", "float"}, {"strategy", "channel"}};
    config["quantization_config"] =
        dialect == Dialect::kModelOpt
            ? Json{{"quant_method", "modelopt"}, {"quant_algo", "FP8"}}
            : Json{{"quant_method", "compressed-tensors"},
                   {"format", "float-quantized"},
                   {"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}}}}}};
  });
}

// Scales that are powers of two make no difference: the logits are those of the dense twin, bit for bit.
TEST(Load, RunsFp8AsTheValuesThatItHolds) {
  for (const std::string name : {"tiny-qwen3", "tiny-qwen2", "tiny-llama"}) {
    const Golden golden(name);
    const std::vector<int32_t> prompt = golden.Ints("prompt"), rows = golden.Ints("rows");
    for (const Dialect dialect : {Dialect::kModelOpt, Dialect::kCompressedTensors}) {
      const EditedCheckpoint fp8 = TwinCheckpoint(name, dialect, true),
                             dense = TwinCheckpoint(name, dialect, false);
      for (const std::string& backend : BackendsHere()) {
        TinyModel model(fp8.path(), backend, {}), twin(dense.path(), backend, {});
        EXPECT_EQ(model.model().numerics(), Numerics::kBf16);
        EXPECT_EQ(model.model().num_parameters(), twin.model().num_parameters());
        EXPECT_LT(model.model().weight_bytes_per_token(), 0.6 * twin.model().weight_bytes_per_token());
        const Logits got = model.Run(prompt, rows, 64);
        EXPECT_EQ(got, twin.Run(prompt, rows, 64)) << name << " on " << backend;
        // E4M3 rounds by 2.6 % in the root mean square, of each of some linears in a row.
        EXPECT_LT(Measure(got, golden.Rows("bf16.exact")).relative, 0.15) << name << " on " << backend;
      }
      EXPECT_THAT(Refusal(fp8.path(), Numerics::kW4A16), testing::HasSubstr("no 4-bit weights"));
    }
  }
}

constexpr const char* kFp8Scheme = R"({"dynamic": false, "num_bits": 8, "type": "float"})";

// tiny-qwen3-nvfp4 that asks for an FP8 cache, with a scale of the keys of layer 1 where it is given.
EditedCheckpoint WithFp8Cache(const std::string& name = "", std::optional<float> scale = {},
                              const char* scheme = kFp8Scheme) {
  return EditedCheckpoint("tiny-qwen3-nvfp4", [&](Json& config, OwnedTensors& t) {
    config["quantization_config"]["kv_cache_scheme"] = ParseJson(scheme, "scheme");
    if (!scale) return;
    OwnedTensor tensor{TensorType::kF32, {}, std::vector<std::byte>(4)};
    std::memcpy(tensor.bytes.data(), &*scale, 4);
    t[kLayer + "self_attn." + name] = tensor;
  });
}

TEST(Load, KeepsTheCacheThatIsAskedFor) {
  const std::filesystem::path plain = TinyCheckpoint("tiny-qwen3-nvfp4");
  const EditedCheckpoint fp8 = WithFp8Cache();
  const auto cache_of = [](const std::filesystem::path& folder, std::optional<KvCacheFormat> wanted) {
    return TinyModel(folder, "reference", {}, wanted).model().kv_cache();
  };
  EXPECT_EQ(cache_of(plain, {}), KvCacheFormat::kBf16);
  EXPECT_EQ(cache_of(plain, KvCacheFormat::kFp8), KvCacheFormat::kFp8);
  EXPECT_EQ(cache_of(fp8.path(), {}), KvCacheFormat::kFp8);
  EXPECT_EQ(cache_of(fp8.path(), KvCacheFormat::kBf16), KvCacheFormat::kBf16);
}

TEST(Load, ReadsTheScalesOfAnFp8Cache) {
  const std::vector<int32_t> prompt = {5, 250, 17, 9, 33, 120, 4}, rows = {6};
  const auto logits = [&](const EditedCheckpoint& edited, std::optional<KvCacheFormat> wanted = {}) {
    return TinyModel(edited.path(), "reference", Numerics::kW4A16, wanted).Run(prompt, rows, 64);
  };
  const Logits bf16 = logits(WithFp8Cache(), KvCacheFormat::kBf16), ones = logits(WithFp8Cache());
  const Logits scaled = logits(WithFp8Cache("k_proj.k_scale", 0.013f));
  EXPECT_NE(ones, bf16);
  EXPECT_NE(scaled, ones);
  EXPECT_LT(Measure(scaled, bf16).relative, 0.1);
  EXPECT_EQ(logits(WithFp8Cache("k_proj.k_scale", 1.0f)), ones);
  for (const char* name : {"k_scale", "attn.k_scale", "k_proj.output_scale"})
    EXPECT_EQ(logits(WithFp8Cache(name, 0.013f)), scaled) << name;
  EXPECT_EQ(logits(WithFp8Cache("k_proj.k_scale", 0.013f), KvCacheFormat::kBf16), bf16);
  // Of another format, which is kept in BF16, the scales mean something else.
  EXPECT_EQ(logits(WithFp8Cache("k_proj.k_scale", 0.013f, R"({"num_bits": 4, "type": "float"})")), bf16);
}

TEST(Load, RefusesScalesOfTheCacheThatAreNone) {
  const float kNan = std::numeric_limits<float>::quiet_NaN(),
              kInfinity = std::numeric_limits<float>::infinity();
  for (const float scale : {0.0f, -0.5f, kNan, kInfinity, 1e-30f, 1e30f}) {
    for (const char* name : {"k_proj.k_scale", "v_scale"})
      EXPECT_THAT(Refusal(WithFp8Cache(name, scale).path(), {}),
                  testing::HasSubstr(kLayer + "self_attn." + name))
          << scale;
  }
  const auto add = [](const std::string& name, TensorType type, std::vector<int64_t> shape,
                      size_t num_bytes) {
    return [=](Json& config, OwnedTensors& t) {
      config["quantization_config"]["kv_cache_quant_algo"] = "FP8";
      t[kLayer + "self_attn." + name] = {type, shape, std::vector<std::byte>(num_bytes, std::byte{0x3F})};
    };
  };
  ExpectRefused("tiny-qwen3-nvfp4", add("v_proj.v_scale", TensorType::kF32, {2}, 8),
                {kLayer + "self_attn.v_proj.v_scale", "[2]", "one BF16 or F16 or F32 number"});
  ExpectRefused("tiny-qwen3-nvfp4", add("v_proj.v_scale", TensorType::kU8, {}, 1), {"v_scale", "U8"});
  ExpectRefused("tiny-qwen3-nvfp4",
                [&](Json& config, OwnedTensors& t) {
                  add("v_proj.v_scale", TensorType::kBf16, {1}, 2)(config, t);
                  add("v_scale", TensorType::kBf16, {1}, 2)(config, t);
                },
                {kLayer + "self_attn.v_scale", "is there beside", "v_proj.v_scale"});
}

int64_t NumValues(const OwnedTensor& tensor) {
  int64_t n = 1;
  for (const int64_t d : tensor.shape) n *= d;
  return n;
}

TEST(Load, CountsParametersAndBytes) {
  for (const std::string name : {"tiny-qwen3", "tiny-qwen2", "tiny-llama"}) {
    int64_t parameters = 0, bytes = 0;
    for (const auto& [tensor, owned] : TensorsOf(name)) {
      parameters += NumValues(owned);
      const bool is_embedding = tensor == "model.embed_tokens.weight";
      bytes += owned.shape.size() == 1 ? 4 * NumValues(owned) : is_embedding ? 2 * 64 : 2 * NumValues(owned);
      if (is_embedding && name == "tiny-qwen3") bytes += 2 * NumValues(owned);  // the head
    }
    TinyModel model(TinyCheckpoint(name), "reference", {});
    EXPECT_EQ(model.model().num_parameters(), parameters) << name;
    EXPECT_EQ(model.model().weight_bytes_per_token(), bytes) << name;
    TinyModel quantised(TinyCheckpoint(name + "-nvfp4"), "reference", {});
    EXPECT_EQ(quantised.model().num_parameters(), parameters) << name;
    TinyModel decoded(TinyCheckpoint(name + "-nvfp4"), "reference", Numerics::kBf16);
    // Once it is BF16 it weighs the same, but for pre_quant_scale: 2 layers, o_proj and down_proj.
    const int64_t scales = name == "tiny-llama" ? 4 * 2 * (64 + 96) : 0;
    EXPECT_EQ(decoded.model().weight_bytes_per_token(), bytes + scales) << name;
  }
  // 36,864 values of a layer's linears at 4.5 bits, norms in fp32, a BF16 head and a row of the embedding.
  TinyModel model(TinyCheckpoint("tiny-qwen3-nvfp4"), "reference", {});
  EXPECT_EQ(model.model().weight_bytes_per_token(),
            2 * (36864 * 9 / 16 + 4 * (64 + 64 + 24 + 24)) + 4 * 64 + 2 * 320 * 64 + 2 * 64);
}

struct Recorder : LinearObserver {
  explicit Recorder(Backend& observed) : backend(observed) {}
  void Observe(std::span<const std::string> modules, ActivationId input) override {
    names.emplace_back(modules.begin(), modules.end());
    inputs.push_back(backend.ReadActivation(input));
  }
  Backend& backend;
  std::vector<std::vector<std::string>> names;
  std::vector<std::vector<float>> inputs;  // [rows, k]
};

// RMSNorm of BF16 rows of 64, by hand.
std::vector<float> NormedEmbeddings(const std::vector<int32_t>& tokens) {
  Checkpoint checkpoint = Checkpoint::Open(TinyCheckpoint("tiny-qwen3"));
  const LinearWeight table = checkpoint.Table("model.embed_tokens", 320, 64);
  const std::span<const float> weight = checkpoint.Vector("model.layers.0.input_layernorm.weight", 64);
  std::vector<float> out;
  for (const int32_t token : tokens) {
    uint16_t bits[64];
    std::memcpy(bits, table.values.data() + token * 128, 128);
    double sum = 0;
    for (const uint16_t b : bits) sum += std::pow(double{BFloat16::Decode({b})}, 2);
    for (size_t i = 0; i < 64; ++i)
      out.push_back(RoundToBFloat16(
          static_cast<float>(BFloat16::Decode({bits[i]}) / std::sqrt(sum / 64 + 1e-6) * weight[i])));
  }
  return out;
}

TEST(Observer, SeesTheInputOfEveryLinear) {
  const std::vector<int32_t> prompt = {5, 250, 17}, rows = {2};
  for (const std::string& backend : BackendsHere()) {
    TinyModel model(TinyCheckpoint("tiny-qwen3"), backend, {});
    Recorder recorder(model.backend());
    const Logits observed = model.Run(prompt, rows, 64, &recorder);
    EXPECT_EQ(observed, model.Run(prompt, rows, 64));
    std::vector<std::vector<std::string>> expected;
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      const std::string a = layer + "self_attn.", m = layer + "mlp.";
      expected.push_back({a + "q_proj", a + "k_proj", a + "v_proj"});
      expected.push_back({a + "o_proj"});
      expected.push_back({m + "gate_proj", m + "up_proj"});
      expected.push_back({m + "down_proj"});
    }
    expected.push_back({"lm_head"});
    EXPECT_EQ(recorder.names, expected);
    ASSERT_EQ(recorder.inputs.size(), 9u);
    const size_t widths[] = {64, 96, 64, 96};
    for (size_t i = 0; i < 9; ++i) EXPECT_EQ(recorder.inputs[i].size(), 3 * widths[i % 4]);
    EXPECT_EQ(recorder.inputs[0], NormedEmbeddings(prompt)) << backend;
  }
}

}  // namespace
}  // namespace fourstep
