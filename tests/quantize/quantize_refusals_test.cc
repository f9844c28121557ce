// What is refused, and that nothing is left then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "base/error.h"
#include "tests/quantize/edited_checkpoint.h"
#include "tests/quantize/quantize_tiny.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

struct Refusal {
  const char* what;
  const char* expected;  // in the message
  std::function<void(OwnedTensors&)> edit_tensors;
  std::function<void(Json&)> edit_config;
  std::function<void(const fs::path&)> edit_folder;
  QuantizeOptions options;
};

std::vector<Refusal> Refusals() {
  const std::string o_proj = "model.layers.1.self_attn.o_proj.weight";
  std::vector<Refusal> list;
  const auto add_tensor_fault = [&](const char* what, const char* expected,
                                    std::function<void(OwnedTensors&)> edit) {
    list.push_back({what, expected, std::move(edit), {}, {}, {}});
    list.push_back(list.back());
    list.back().options.weights_only = true;
  };
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    add_tensor_fault("a weight is not finite",
                     "model.layers.1.self_attn.o_proj: has a weight that is NaN or inf",
                     [=](OwnedTensors& tensors) { SetBf16(tensors.at(o_proj), 100, bad); });
  }
  add_tensor_fault("a linear is missing", "model.layers.1.self_attn.o_proj.weight: tensor is missing",
                   [=](OwnedTensors& tensors) { tensors.erase(o_proj); });
  add_tensor_fault(
      "a linear has another shape", "model.layers.1.self_attn.o_proj.weight: has shape",
      [=](OwnedTensors& tensors) { std::swap(tensors.at(o_proj).shape[0], tensors.at(o_proj).shape[1]); });
  add_tensor_fault("a linear has 8 bits", "model.layers.1.self_attn.o_proj.weight: is F8_E4M3",
                   [=](OwnedTensors& tensors) {
                     tensors.at(o_proj).type = TensorType::kF8E4M3;
                     tensors.at(o_proj).bytes.resize(tensors.at(o_proj).bytes.size() / 2);
                   });
  // 4 heads of 22: o_proj has 88 inputs.
  const auto narrow = [](OwnedTensors& tensors) {
    for (auto& [name, tensor] : tensors) {
      const bool is_q = name.ends_with("q_proj.weight"),
                 is_kv = name.ends_with("k_proj.weight") || name.ends_with("v_proj.weight");
      if (is_q) tensor.shape[0] = 88;
      if (is_kv) tensor.shape[0] = 44;
      if (name.ends_with("o_proj.weight")) tensor.shape[1] = 88;
      if (name.ends_with("q_norm.weight") || name.ends_with("k_norm.weight")) tensor.shape[0] = 22;
      size_t values = 1;
      for (const int64_t dimension : tensor.shape) values *= static_cast<size_t>(dimension);
      tensor.bytes.resize(2 * values);
    }
  };
  list.push_back({"inputs are no multiple of 16",
                  "model.layers.0.self_attn.o_proj: has 88 inputs",
                  narrow,
                  [](Json& config) { config["head_dim"] = 22; },
                  {},
                  {}});
  list.push_back({"an activation overflows",
                  "model.layers.1.",
                  [](OwnedTensors& tensors) {
                    OwnedTensor& down = tensors.at("model.layers.0.mlp.down_proj.weight");
                    for (size_t i = 0; i < down.bytes.size() / 2; ++i) SetBf16(down, i, 3e38f);
                  },
                  {},
                  {},
                  {}});
  list.push_back({"no tokenizer",
                  "tokenizer.json",
                  {},
                  {},
                  [](const fs::path& folder) { fs::remove(folder / "tokenizer.json"); },
                  {}});
  list.push_back({"a link that leads nowhere",
                  "chat_template.jinja: is a link to a file that does not exist",
                  {},
                  {},
                  [](const fs::path& folder) { fs::create_symlink("gone", folder / "chat_template.jinja"); },
                  {}});
  list.push_back({"no config",
                  "config.json",
                  {},
                  {},
                  [](const fs::path& folder) { fs::remove(folder / "config.json"); },
                  {}});
  list.push_back({"a weights file cut off",
                  "model.safetensors",
                  {},
                  {},
                  [](const fs::path& folder) { fs::resize_file(folder / "model.safetensors", 100000); },
                  {}});
  list.push_back({"the tokenizer makes tokens that the model has not",
                  "vocab_size is 100",
                  [](OwnedTensors& tensors) {
                    OwnedTensor& table = tensors.at("model.embed_tokens.weight");
                    table.shape[0] = 100;
                    table.bytes.resize(static_cast<size_t>(2 * 100 * table.shape[1]));
                  },
                  [](Json& config) {
                    config["vocab_size"] = 100;
                    config.erase("bos_token_id");
                    config.erase("eos_token_id");
                  },
                  [](const fs::path& folder) { fs::remove(folder / "generation_config.json"); },
                  {}});
  QuantizeOptions options;
  options.method = "best";
  list.push_back({"another method", "method: \"best\" is not one of rtn", {}, {}, {}, options});
  options = {};
  options.calibration_tokens = 0;
  list.push_back({"no tokens", "calibration_tokens: is 0", {}, {}, {}, options});
  options = {};
  options.shard_bytes = 0;
  list.push_back({"no room in a shard", "shard_bytes: is 0", {}, {}, {}, options});
  options = {};
  options.num_threads = 2000;
  list.push_back({"too many threads", "num_threads: is 2000", {}, {}, {}, options});
  options = {};
  options.head = WeightFormat::kMxFp4;
  list.push_back({"no format of a head", "head: is mxfp4, expected bf16, fp8 or nvfp4", {}, {}, {}, options});
  options = {};
  options.head = WeightFormat::kFp8;
  list.push_back({"a head that is not finite",
                  "lm_head: has a weight that is NaN",
                  [](OwnedTensors& tensors) {
                    SetBf16(tensors.at("model.embed_tokens.weight"), 64 * 310,
                            std::numeric_limits<float>::quiet_NaN());
                  },
                  {},
                  {},
                  options});
  options = {};
  options.dialect = Dialect::kNone;
  list.push_back({"no dialect", "dialect: is none", {}, {}, {}, options});
  return list;
}

TEST(Quantize, RefusesAndLeavesNothing) {
  for (const Refusal& refusal : Refusals()) {
    const TempFolder folder;
    CopyTiny("tiny-qwen3", folder / "source", refusal.edit_tensors, refusal.edit_config);
    if (refusal.edit_folder) refusal.edit_folder(folder / "source");
    try {
      QuantizeOptions options = refusal.options;
      if (options.num_threads == 0) options.num_threads = 1;
      Quantize(folder / "source", folder / "out", options, {});
      ADD_FAILURE() << refusal.what << ": accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(refusal.expected)) << refusal.what;
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n"))) << refusal.what;
    }
    EXPECT_THAT(folder.Names(), ElementsAre("source")) << refusal.what;
  }
}

TEST(Quantize, RefusesWhatIsQuantisedAlready) {
  for (const char* name :
       {"tiny-qwen3-nvfp4", "tiny-qwen2-nvfp4", "tiny-llama-nvfp4", "tiny-llama-nvfp4a16"}) {
    const TempFolder folder;
    try {
      QuantizeTiny(TinyCheckpoint(name), folder / "out");
      ADD_FAILURE() << name << ": accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("is quantised already (")) << name;
    }
    EXPECT_THAT(folder.Names(), ElementsAre()) << name;
  }
}

TEST(Quantize, NeverTouchesWhatIsThere) {
  const TempFolder folder;
  WriteBytes(folder / "file", "precious");
  fs::create_directory(folder / "folder");
  for (const char* name : {"file", "folder", "folder/"}) {
    EXPECT_THROW(QuantizeTiny(TinyCheckpoint("tiny-qwen3"), folder / name, WeightsOnly()), Error) << name;
  }
  EXPECT_THROW(QuantizeTiny(TinyCheckpoint("tiny-qwen3"), folder / "no/such/parent", WeightsOnly()), Error);
  CopyTiny("tiny-qwen3", folder / "source");
  EXPECT_THROW(QuantizeTiny(folder / "source", folder / "source", WeightsOnly()), Error);
  EXPECT_EQ(ReadBytes(folder / "file"), "precious");
  EXPECT_TRUE(fs::is_empty(folder / "folder"));
  EXPECT_THAT(folder.Names(), ElementsAre("file", "folder", "source"));
}

}  // namespace
}  // namespace fourstep
