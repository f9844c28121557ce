// A good checkpoint to be spoilt. What is made of it must give one Error of one line that names the file or
// tensor and says what is wrong.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint_files.h"

namespace fourstep {

inline constexpr char kUp[] = "model.layers.0.mlp.up_proj";
inline constexpr char kNorm[] = "model.norm.weight";

struct RawTensor {
  std::string dtype;
  Json shape;
  std::string data;
};

inline std::string Float32(float value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

inline std::string Length(uint64_t value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

inline std::string File(const std::string& header, const std::string& data) {
  return Length(header.size()) + header + data;
}

// A good ModelOpt checkpoint of one quantised linear [4, 32], a norm and a table; tests change it.
struct Draft {
  Json config = SmallConfig();
  std::map<std::string, RawTensor> tensors;
  std::map<std::string, std::string> files;  // written as they are, in the end

  Draft() {
    config["quantization_config"] = {
        {"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}, {"ignore", {"lm_head"}}};
    const std::string up = kUp;
    tensors[up + ".weight"] = {"U8", {4, 16}, std::string(64, '\x21')};
    tensors[up + ".weight_scale"] = {"F8_E4M3", {4, 2}, std::string(8, '\x38')};
    tensors[up + ".weight_scale_2"] = {"F32", Json::array(), Float32(0.01f)};
    tensors[up + ".input_scale"] = {"F32", Json::array(), Float32(0.02f)};
    tensors[kNorm] = {"F32", {2}, Float32(1) + Float32(2)};
    tensors["model.embed_tokens.weight"] = {"BF16", {2, 3}, std::string(12, '\x3F')};
  }

  RawTensor& up(const std::string& suffix) { return tensors.at(kUp + suffix); }
  void erase(const std::string& suffix) { tensors.erase(kUp + suffix); }
  Json& quantization() { return config["quantization_config"]; }

  // The header's entries and the data, for cases that break them.
  std::pair<Json, std::string> Pack() const {
    Json header = Json::object();
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      header[name] = {{"dtype", tensor.dtype},
                      {"shape", tensor.shape},
                      {"data_offsets", {data.size(), data.size() + tensor.data.size()}}};
      data += tensor.data;
    }
    return {header, data};
  }
  void PackWith(const std::function<void(Json& header, std::string& data)>& change) {
    auto [header, data] = Pack();
    change(header, data);
    files["model.safetensors"] = File(DumpJson(header), data);
  }
  void UseCompressedTensors(const char* format = "nvfp4-pack-quantized") {
    const std::string name = kUp;
    tensors[name + ".weight_packed"] = up(".weight");
    tensors[name + ".weight_global_scale"] = {"F32", {1}, Float32(100)};
    tensors[name + ".input_global_scale"] = {"F32", {1}, Float32(50)};
    for (const char* old : {".weight", ".weight_scale_2", ".input_scale"}) erase(old);
    const Json args = {{"num_bits", 4}, {"type", "float"}, {"strategy", "tensor_group"}, {"group_size", 16}};
    quantization() = {{"quant_method", "compressed-tensors"},
                      {"format", format},
                      {"config_groups", {{"group_0", {{"weights", args}, {"input_activations", args}}}}},
                      {"ignore", {"lm_head"}}};
  }
  void UseMxFp4() {
    UseCompressedTensors("mxfp4-pack-quantized");
    erase(".weight_global_scale");
    erase(".input_global_scale");
    up(".weight_scale") = {"U8", {4, 1}, std::string(4, '\x7F')};
    Json& group = quantization()["config_groups"]["group_0"];
    group["weights"]["group_size"] = 32;
    group["input_activations"] = nullptr;
  }
  void UseFp8() {
    const std::string name = kUp;
    up(".weight") = {"F8_E4M3", {4, 32}, std::string(128, '\x38')};
    up(".weight_scale") = {"F32", Json::array(), Float32(0.5f)};
    erase(".weight_scale_2");
    quantization()["quant_algo"] = "FP8";
  }
  void UseFp8OfCompressedTensors() {
    UseFp8();
    up(".weight_scale") = {"BF16", {4, 1}, "\x80\x3F\x80\x3F\x80\x3F\x80\x3F"};
    const Json args = {{"num_bits", 8}, {"type", "float"}, {"strategy", "channel"}};
    quantization() = {{"quant_method", "compressed-tensors"},
                      {"format", "float-quantized"},
                      {"config_groups", {{"group_0", {{"weights", args}, {"input_activations", args}}}}},
                      {"ignore", {"lm_head"}}};
  }
  // Two shards and their index.
  Json Shard() {
    const std::string first =
        File(DumpJson({{"a", {{"dtype", "U8"}, {"shape", {1}}, {"data_offsets", {0, 1}}}}}), "x");
    auto [header, data] = Pack();
    files["s1.safetensors"] = first;
    files["s2.safetensors"] = File(DumpJson(header), data);
    Json map = {{"a", "s1.safetensors"}};
    for (const auto& [name, tensor] : tensors) map[name] = "s2.safetensors";
    files["model.safetensors"] = "";  // not written
    return {{"weight_map", map}};
  }
  void PutIndex(const Json& index) { files["model.safetensors.index.json"] = DumpJson(index); }

  void Write(const std::filesystem::path& folder) {
    if (!files.contains("config.json")) files["config.json"] = DumpJson(config);
    if (!files.contains("model.safetensors")) PackWith([](Json&, std::string&) {});
    for (const auto& [name, contents] : files) {
      if (name == "model.safetensors" && contents.empty() && files.contains("s1.safetensors")) continue;
      WriteFile(folder / name, contents);
    }
  }
};

// What a model does with a checkpoint.
inline void Load(const std::filesystem::path& folder) {
  Checkpoint checkpoint = Checkpoint::Open(folder);
  checkpoint.Table("model.embed_tokens", 2, 3);
  checkpoint.Linear(kUp, 4, 32);
  checkpoint.Vector(kNorm, 2);
  if (checkpoint.Has("a")) checkpoint.Linear("b", 1, 1);
  checkpoint.ExpectAllRead();
}

struct Case {
  const char* name;
  std::vector<const char*> words;  // of the message
  std::function<void(Draft&)> spoil;
};

inline void Expect(const Case& c, const std::filesystem::path& folder) {
  SCOPED_TRACE(c.name);
  try {
    Load(folder);
    ADD_FAILURE() << "was accepted";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_THAT(message, testing::StartsWith(folder.string()));
    EXPECT_THAT(message, testing::Not(testing::HasSubstr("\n")));
    EXPECT_LT(message.size(), 600u);
    for (const char* word : c.words) EXPECT_THAT(message, testing::HasSubstr(word));
  }
}

inline void ExpectAll(const std::vector<Case>& cases) {
  std::set<std::string> names;
  for (const Case& c : cases) {
    EXPECT_TRUE(names.insert(c.name).second) << c.name;
    const TemporaryFolder folder;
    Draft draft;
    c.spoil(draft);
    draft.Write(folder.path());
    Expect(c, folder.path());
  }
}

}  // namespace fourstep
