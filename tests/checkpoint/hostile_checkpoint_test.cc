// Bad checkpoints: each must give one Error of one line that names the file or tensor and says what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <set>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint_files.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

constexpr char kUp[] = "model.layers.0.mlp.up_proj";
constexpr char kNorm[] = "model.norm.weight";

struct RawTensor {
  std::string dtype;
  Json shape;
  std::string data;
};

std::string Float32(float value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string Length(uint64_t value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string File(const std::string& header, const std::string& data) {
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

  void Write(const fs::path& folder) {
    if (!files.contains("config.json")) files["config.json"] = DumpJson(config);
    if (!files.contains("model.safetensors")) PackWith([](Json&, std::string&) {});
    for (const auto& [name, contents] : files) {
      if (name == "model.safetensors" && contents.empty() && files.contains("s1.safetensors")) continue;
      WriteFile(folder / name, contents);
    }
  }
};

// What a model does with a checkpoint.
void Load(const fs::path& folder) {
  Checkpoint checkpoint = Checkpoint::Open(folder);
  checkpoint.Table("model.embed_tokens", 2, 3);
  checkpoint.Linear(kUp, 4, 32);
  checkpoint.Vector(kNorm, 2);
  if (checkpoint.Has("a")) checkpoint.Linear("b", 1, 1);
  checkpoint.ExpectAllRead();
}

TEST(HostileCheckpoint, TheDraftsThemselvesAreGood) {
  for (int variant = 0; variant < 5; ++variant) {
    const TemporaryFolder folder;
    Draft draft;
    if (variant == 1) draft.UseCompressedTensors();
    if (variant == 2) draft.UseMxFp4();
    if (variant == 3) draft.UseFp8();
    if (variant == 4) draft.UseFp8OfCompressedTensors();
    draft.Write(folder.path());
    Load(folder.path());
  }
}

struct Case {
  const char* name;
  std::vector<const char*> words;  // of the message
  std::function<void(Draft&)> spoil;
};

void Expect(const Case& c, const fs::path& folder) {
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

void ExpectAll(const std::vector<Case>& cases) {
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

// A case that changes the header of model.safetensors.
Case Header(const char* name, std::vector<const char*> words,
            std::function<void(Json&, std::string&)> change) {
  words.push_back("model.safetensors");
  return {name, std::move(words), [change](Draft& d) { d.PackWith(change); }};
}

// A case whose model.safetensors is this.
Case Bytes(const char* name, std::vector<const char*> words, std::string contents) {
  words.push_back("model.safetensors");
  return {name, std::move(words), [contents](Draft& d) { d.files["model.safetensors"] = contents; }};
}

TEST(HostileCheckpoint, Safetensors) {
  const std::string deep = std::string(R"({"a":{"dtype":"U8","shape":)") + std::string(100'000, '[');
  ExpectAll({
      Bytes("empty file", {"0 bytes"}, ""),
      Bytes("seven bytes", {"7 bytes"}, "1234567"),
      Bytes("no header", {"not valid JSON"}, Length(0)),
      Bytes("header length 2^63", {"9223372036854775808"}, Length(uint64_t{1} << 63) + "{}"),
      Bytes("header length 2^64-1", {"18446744073709551615"}, Length(~uint64_t{0}) + "{}"),
      Bytes("header longer than the file", {"cut off", "100"}, Length(100) + "{}"),
      Bytes("header of 101 MiB", {"header of"}, Length(uint64_t{101} << 20) + "{}"),
      Bytes("not JSON", {"not valid JSON"}, File("safetensors", "")),
      Bytes("JSON cut off", {"not valid JSON"}, File(R"({"a":{"dtype":"U8",)", "")),
      Bytes("invalid UTF-8", {"not valid JSON"}, File("{\"\xff\":{}}", "")),
      Bytes("text after the JSON", {"not valid JSON"}, File("{} {}", "")),
      Bytes("NUL padding", {"NUL"}, File(std::string("{}\0", 3), "")),
      Bytes("an array", {"array"}, File("[]", "")),
      Bytes("a number", {"number"}, File("1", "")),
      Bytes("deep JSON", {"array", "\"a\""}, File(deep, "")),
      Bytes("deep objects", {"object"}, File(R"({"a":{"dtype":{"b":{}}}})", "")),
      Bytes("deep metadata", {"object"}, File(R"({"__metadata__":{"b":{}}})", "")),
      Bytes("metadata of numbers", {"number"}, File(R"({"__metadata__":{"b":1}})", "")),
      Bytes("metadata twice", {"__metadata__", "twice"},
            File(R"({"__metadata__":{},"__metadata__":{}})", "")),
      Bytes("a name twice", {"\"a\"", "twice"},
            File(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}})", "")),
      Bytes("a field twice", {"\"a\"", "dtype"}, File(R"({"a":{"dtype":"U8","dtype":"U8"}})", "")),
      Bytes("an unknown field", {"\"a\"", "strides"}, File(R"({"a":{"strides":[1]}})", "")),
      Bytes("a tensor that is a string", {"\"a\"", "string"}, File(R"({"a":"U8"})", "")),
      Bytes("a tensor that is null", {"\"a\"", "null"}, File(R"({"a":null})", "")),
      Bytes("a tensor without fields", {"\"a\"", "dtype"}, File(R"({"a":{}})", "")),
      Bytes("no data at all", {"data has 3 bytes"}, File("{}", "123")),
      Header("unknown dtype", {"F4", kNorm}, [](Json& h, std::string&) { h[kNorm]["dtype"] = "F4"; }),
      Header("dtype a number", {"number", kNorm}, [](Json& h, std::string&) { h[kNorm]["dtype"] = 5; }),
      Header("no shape", {"no shape", kNorm}, [](Json& h, std::string&) { h[kNorm].erase("shape"); }),
      Header("no offsets", {"data_offsets", kNorm},
             [](Json& h, std::string&) { h[kNorm].erase("data_offsets"); }),
      Header("one offset", {"data_offsets", kNorm},
             [](Json& h, std::string&) { h[kNorm]["data_offsets"] = {0}; }),
      Header("three offsets", {"number", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {0, 8, 16};
             }),
      Header("negative size", {"negative", kNorm}, [](Json& h, std::string&) { h[kNorm]["shape"] = {-2}; }),
      Header("fractional size", {"no integer", kNorm},
             [](Json& h, std::string&) { h[kNorm]["shape"] = {2.0}; }),
      Header("size beyond 2^63", {"2^63", kNorm},
             [](Json& h, std::string&) { h[kNorm]["shape"] = {uint64_t{1} << 63}; }),
      Header("size that overflows", {"shape", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["shape"] = {int64_t{1} << 40, int64_t{1} << 40};
             }),
      Header("size that overflows to the right one", {"shape", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["shape"] = {int64_t{1} << 62, 2, 2, 2};
             }),
      Header("nine dimensions", {"8 dimensions", kNorm},
             [](Json& h, std::string&) { h[kNorm]["shape"] = {2, 1, 1, 1, 1, 1, 1, 1, 1}; }),
      Header("shape too small", {"shape", kNorm}, [](Json& h, std::string&) { h[kNorm]["shape"] = {1}; }),
      Header("offsets beyond the file", {"lies at", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {1 << 20, (1 << 20) + 8};
             }),
      Header("offsets near 2^64", {"lies at", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {~uint64_t{0} - 7, ~uint64_t{0}};
             }),
      Header("offsets the wrong way", {"lies at", kNorm},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {8, 0};
             }),
      Header("overlap", {"overlapping"},
             [](Json& h, std::string&) {
               h[kNorm]["data_offsets"] = {0, 8};
             }),
      Header(
          "hole", {"hole", "z"},
          [](Json& h, std::string& data) {
            h["z"] = {{"dtype", "U8"}, {"shape", {1}}, {"data_offsets", {data.size() + 1, data.size() + 2}}};
            data += "12";
          }),
      Header("data cut off", {"lies at"}, [](Json&, std::string& data) { data.pop_back(); }),
      Header("data left over", {"its tensors end"}, [](Json&, std::string& data) { data += "x"; }),
  });
}

TEST(HostileCheckpoint, Tensors) {
  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  const auto scale2 = [](float value) {
    return [value](Draft& d) { d.up(".weight_scale_2").data = Float32(value); };
  };
  const auto block_scale = [](char byte) {
    return [byte](Draft& d) { d.up(".weight_scale").data[5] = byte; };
  };
  ExpectAll({
      {"missing weight", {"up_proj.weight", "missing"}, [](Draft& d) { d.erase(".weight"); }},
      {"missing block scales",
       {"up_proj.weight_scale", "missing"},
       [](Draft& d) { d.erase(".weight_scale"); }},
      {"missing global scale",
       {"up_proj.weight_scale_2", "missing"},
       [](Draft& d) { d.erase(".weight_scale_2"); }},
      {"missing input scale", {"input scale", "up_proj"}, [](Draft& d) { d.erase(".input_scale"); }},
      {"input scale of weights only",
       {"input scale", "only weights"},
       [](Draft& d) { d.quantization()["quant_algo"] = "W4A16_NVFP4"; }},
      {"missing norm", {kNorm, "missing"}, [](Draft& d) { d.tensors.erase(kNorm); }},
      {"wrong rows",
       {"up_proj.weight", "[2, 32]", "[4, 16]"},
       [](Draft& d) {
         d.up(".weight").shape = {2, 32};
       }},
      {"wrong inputs",
       {"up_proj.weight", "[8, 8]", "[4, 16]"},
       [](Draft& d) {
         d.up(".weight").shape = {8, 8};
       }},
      {"flat weight", {"up_proj.weight", "[64]"}, [](Draft& d) { d.up(".weight").shape = {64}; }},
      {"wrong block scales",
       {"up_proj.weight_scale", "[2, 4]", "[4, 2]"},
       [](Draft& d) {
         d.up(".weight_scale").shape = {2, 4};
       }},
      {"block scales of another type",
       {"up_proj.weight_scale", "F8_E5M2", "F8_E4M3"},
       [](Draft& d) { d.up(".weight_scale").dtype = "F8_E5M2"; }},
      {"MXFP4 scales in ModelOpt",
       {"MXFP4", "up_proj"},
       [](Draft& d) {
         d.up(".weight_scale") = {"U8", {4, 1}, std::string(4, '\x7F')};
       }},
      {"vector of global scales",
       {"weight_scale_2", "one F32 number"},
       [](Draft& d) {
         d.up(".weight_scale_2") = {"F32", {2}, Float32(1) + Float32(1)};
       }},
      {"global scale in BF16",
       {"weight_scale_2", "BF16"},
       [](Draft& d) {
         d.up(".weight_scale_2") = {"BF16", Json::array(), "\x80\x3F"};
       }},
      {"global scale zero", {"weight_scale_2", "is 0", "positive"}, scale2(0)},
      {"global scale negative", {"weight_scale_2", "-1"}, scale2(-1)},
      {"global scale NaN", {"weight_scale_2", "nan"}, scale2(nan)},
      {"global scale infinite", {"weight_scale_2", "inf"}, scale2(infinity)},
      {"input scale zero",
       {"input_scale", "positive"},
       [](Draft& d) { d.up(".input_scale").data = Float32(0); }},
      {"block scale NaN", {"up_proj.weight_scale", "0x7F"}, block_scale('\x7F')},
      {"block scale 0xFF", {"up_proj.weight_scale", "0xFF"}, block_scale('\xFF')},
      {"block scale negative", {"up_proj.weight_scale", "0xB8"}, block_scale('\xB8')},
      {"norm NaN", {kNorm, "nan"}, [nan](Draft& d) { d.tensors[kNorm].data = Float32(1) + Float32(nan); }},
      {"norm of integers", {kNorm, "I32"}, [](Draft& d) { d.tensors[kNorm].dtype = "I32"; }},
      {"norm of another size",
       {kNorm, "[1]", "[2]"},
       [](Draft& d) {
         d.tensors[kNorm] = {"F32", {1}, Float32(1)};
       }},
      {"bias of another size",
       {"up_proj.bias", "[2]", "[4]"},
       [](Draft& d) {
         d.tensors[std::string(kUp) + ".bias"] = {"BF16", {2}, "1234"};
       }},
      {"pre_quant_scale zero",
       {"pre_quant_scale", "positive"},
       [](Draft& d) {
         d.tensors[std::string(kUp) + ".pre_quant_scale"] = {"BF16", {32}, std::string(64, '\0')};
       }},
      {"quantised table",
       {"embed_tokens.weight", "U8"},
       [](Draft& d) {
         d.tensors["model.embed_tokens.weight"] = {"U8", {2, 3}, "123456"};
       }},
      {"unused tensor",
       {"model.extra", "not used"},
       [](Draft& d) {
         d.tensors["model.extra"] = {"U8", {1}, "x"};
       }},
      {"FP8 of another configuration",
       {"FP8", "up_proj"},
       [](Draft& d) {
         d.UseFp8();
         d.quantization()["quant_algo"] = "NVFP4";
       }},
      {"FP8 without a configuration",
       {"up_proj.weight", "no quantisation"},
       [](Draft& d) {
         d.UseFp8();
         d.config.erase("quantization_config");
       }},
      {"excluded FP8",
       {"excludes", "up_proj"},
       [](Draft& d) {
         d.UseFp8();
         d.quantization()["ignore"] = {"model.layers.0*"};
       }},
      {"FP8 table",
       {"embed_tokens.weight", "F8_E4M3"},
       [](Draft& d) {
         d.UseFp8();
         d.tensors["model.embed_tokens.weight"] = {"F8_E4M3", {2, 3}, "123456"};
       }},
      {"8 bits of another kind",
       {"up_proj.weight", "F8_E5M2"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight").dtype = "F8_E5M2";
       }},
      {"FP8 of another shape",
       {"up_proj.weight", "[32, 4]", "[4, 32]"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight").shape = {32, 4};
       }},
      {"FP8 NaN",
       {"up_proj.weight", "NaN"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight").data[127] = '\x7F';
       }},
      {"FP8 negative NaN",
       {"up_proj.weight", "NaN"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight").data[0] = '\xFF';
       }},
      {"FP8 without a scale",
       {"up_proj.weight_scale", "missing"},
       [](Draft& d) {
         d.UseFp8();
         d.erase(".weight_scale");
       }},
      {"FP8 with block scales",
       {"up_proj.weight_scale", "[4, 2]"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight_scale") = {"F32", {4, 2}, std::string(32, '\x3F')};
       }},
      {"FP8 with scales of too many outputs",
       {"up_proj.weight_scale", "[5, 1]"},
       [](Draft& d) {
         d.UseFp8OfCompressedTensors();
         d.up(".weight_scale") = {"BF16", {5, 1}, std::string(10, '\x3F')};
       }},
      {"FP8 with scales of another type",
       {"up_proj.weight_scale", "F8_E4M3"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight_scale") = {"F8_E4M3", {4, 1}, "1234"};
       }},
      {"FP8 scale zero",
       {"up_proj.weight_scale", "scale 0", "positive"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".weight_scale").data = Float32(0);
       }},
      {"FP8 scale infinite",
       {"up_proj.weight_scale", "inf"},
       [infinity](Draft& d) {
         d.UseFp8();
         d.up(".weight_scale").data = Float32(infinity);
       }},
      {"FP8 scale NaN",
       {"up_proj.weight_scale", "nan"},
       [](Draft& d) {
         d.UseFp8OfCompressedTensors();
         d.up(".weight_scale").data[7] = '\x7F';
         d.up(".weight_scale").data[6] = '\xC0';
       }},
      {"FP8 input scale negative",
       {"up_proj.input_scale", "-1"},
       [](Draft& d) {
         d.UseFp8();
         d.up(".input_scale").data = Float32(-1);
       }},
      {"FP8 with a second scale",
       {"weight_scale_2", "not used"},
       [](Draft& d) {
         d.UseFp8();
         d.tensors[std::string(kUp) + ".weight_scale_2"] = {"F32", {1}, Float32(1)};
       }},
      {"dense weight with scales",
       {"up_proj.weight", "BF16", "scales"},
       [](Draft& d) {
         d.up(".weight") = {"BF16", {4, 32}, std::string(256, '\x38')};
       }},
      {"excluded but quantised",
       {"excludes", "up_proj", "model.layers.0*"},
       [](Draft& d) {
         d.quantization()["ignore"] = {"lm_head", "model.layers.0*"};
       }},
      {"no quantisation configured",
       {"up_proj.weight", "no quantisation"},
       [](Draft& d) { d.config.erase("quantization_config"); }},
      {"another dialect",
       {"up_proj.weight_packed", "compressed-tensors", "modelopt"},
       [](Draft& d) {
         const Json modelopt = d.quantization();
         d.UseCompressedTensors();
         d.quantization() = modelopt;
       }},
      {"reciprocal zero",
       {"weight_global_scale", "positive"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.up(".weight_global_scale").data = Float32(0);
       }},
      {"reciprocal of a subnormal",
       {"weight_global_scale", "reciprocal"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.up(".weight_global_scale").data = Float32(1e-44f);
       }},
      {"reciprocal missing",
       {"weight_global_scale", "missing"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.erase(".weight_global_scale");
       }},
      {"packed and plain",
       {"up_proj.weight", "not used"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.tensors[std::string(kUp) + ".weight"] = d.up(".weight_packed");
       }},
      {"excluded by a regular expression",
       {"excludes", "up_proj", "re:"},
       [](Draft& d) {
         d.UseCompressedTensors();
         d.quantization()["ignore"] = {"re:.*mlp\\.up"};
       }},
      {"MXFP4 scale NaN",
       {"up_proj.weight_scale", "0xFF"},
       [](Draft& d) {
         d.UseMxFp4();
         d.up(".weight_scale").data[0] = '\xFF';
       }},
      {"MXFP4 with a global scale",
       {"weight_global_scale", "not used"},
       [](Draft& d) {
         d.UseMxFp4();
         d.tensors[std::string(kUp) + ".weight_global_scale"] = {"F32", {1}, Float32(1)};
       }},
  });
}

// A case that changes the quantization_config of ModelOpt.
Case ModelOpt(const char* name, std::vector<const char*> words, std::function<void(Json&)> change) {
  return {name, std::move(words), [change](Draft& d) { change(d.quantization()); }};
}

// A case that changes the quantization_config of compressed-tensors.
Case Compressed(const char* name, std::vector<const char*> words, std::function<void(Json&)> change) {
  return {name, std::move(words), [change](Draft& d) {
            d.UseCompressedTensors();
            change(d.quantization());
          }};
}

// A case that changes that of FP8.
Case EightBit(const char* name, std::vector<const char*> words, std::function<void(Json&)> change) {
  return {name, std::move(words), [change](Draft& d) {
            d.UseFp8OfCompressedTensors();
            change(d.quantization());
          }};
}

TEST(HostileCheckpoint, Quantization) {
  const auto weights = [](Json& q) -> Json& { return q["config_groups"]["group_0"]["weights"]; };
  const auto inputs = [](Json& q) -> Json& { return q["config_groups"]["group_0"]["input_activations"]; };
  ExpectAll({
      ModelOpt("not an object", {"quantization_config", "object"}, [](Json& q) { q = "NVFP4"; }),
      ModelOpt("no method", {"quant_method", "missing"}, [](Json& q) { q.erase("quant_method"); }),
      ModelOpt("GPTQ", {"gptq", "not supported"}, [](Json& q) { q["quant_method"] = "gptq"; }),
      ModelOpt("AWQ", {"awq", "not supported"}, [](Json& q) { q["quant_method"] = "awq"; }),
      ModelOpt("fp_quant", {"fp_quant"}, [](Json& q) { q["quant_method"] = "fp_quant"; }),
      ModelOpt("FP8", {"NVFP4", "up_proj"}, [](Json& q) { q["quant_algo"] = "FP8"; }),
      ModelOpt("FP8_PB_WO", {"FP8_PB_WO", "not supported"}, [](Json& q) { q["quant_algo"] = "FP8_PB_WO"; }),
      ModelOpt("W4A8", {"W4A8_NVFP4_FP8"}, [](Json& q) { q["quant_algo"] = "W4A8_NVFP4_FP8"; }),
      ModelOpt("SVD", {"NVFP4_SVD"}, [](Json& q) { q["quant_algo"] = "NVFP4_SVD"; }),
      ModelOpt("no algorithm", {"quant_algo"}, [](Json& q) { q.erase("quant_algo"); }),
      ModelOpt("algorithm null", {"quant_algo", "string"}, [](Json& q) { q["quant_algo"] = nullptr; }),
      ModelOpt("group of 32", {"group_size", "32"}, [](Json& q) { q["group_size"] = 32; }),
      ModelOpt("zero points", {"has_zero_point"}, [](Json& q) { q["has_zero_point"] = true; }),
      ModelOpt("unknown key", {"unknown key", "rotation"}, [](Json& q) { q["rotation"] = true; }),
      ModelOpt("exclude list of numbers", {"ignore", "strings"}, [](Json& q) { q["ignore"] = {1}; }),
      ModelOpt("exclude list a string", {"ignore", "array"}, [](Json& q) { q["ignore"] = "lm_head"; }),
      ModelOpt("mixed without layers", {"quantized_layers"},
               [](Json& q) { q["quant_algo"] = "MIXED_PRECISION"; }),
      ModelOpt("mixed with INT4", {"a.b", "INT4_AWQ"},
               [](Json& q) {
                 q["quant_algo"] = "MIXED_PRECISION";
                 q["quantized_layers"] = {{"a.b", {{"quant_algo", "INT4_AWQ"}}}};
               }),
      Compressed("no groups", {"config_groups"}, [](Json& q) { q.erase("config_groups"); }),
      Compressed("empty groups", {"config_groups"}, [](Json& q) { q["config_groups"] = Json::object(); }),
      Compressed("group a name", {"group_0", "object"},
                 [](Json& q) { q["config_groups"]["group_0"] = "NVFP4"; }),
      Compressed("integers", {"int", "4 bits"}, [&](Json& q) { weights(q)["type"] = "int"; }),
      Compressed("eight bits", {"8 bits"}, [&](Json& q) { weights(q)["num_bits"] = 8; }),
      Compressed("W4A8 group", {"input_activations", "8 bits"}, [&](Json& q) { inputs(q)["num_bits"] = 8; }),
      Compressed("groups of 128", {"groups of 128"}, [&](Json& q) { weights(q)["group_size"] = 128; }),
      Compressed("per channel", {"strategy", "channel"},
                 [&](Json& q) { weights(q)["strategy"] = "channel"; }),
      Compressed("asymmetric", {"symmetric"}, [&](Json& q) { weights(q)["symmetric"] = false; }),
      Compressed("fully dynamic", {"dynamic", "true"}, [&](Json& q) { inputs(q)["dynamic"] = true; }),
      Compressed("quantised outputs", {"output_activations"},
                 [&](Json& q) { q["config_groups"]["group_0"]["output_activations"] = inputs(q); }),
      Compressed("pack-quantized", {"pack-quantized", "not supported"},
                 [](Json& q) { q["format"] = "pack-quantized"; }),
      EightBit("INT8", {"8 bits", "int"}, [&](Json& q) { weights(q)["type"] = "int"; }),
      EightBit("FP8 of 4 bits", {"4 bits", "FP8"}, [&](Json& q) { weights(q)["num_bits"] = 4; }),
      EightBit("FP8 in blocks", {"strategy", "block"}, [&](Json& q) { weights(q)["strategy"] = "block"; }),
      EightBit("FP8 asymmetric", {"symmetric"}, [&](Json& q) { weights(q)["symmetric"] = false; }),
      EightBit("FP8 with INT8 inputs", {"input_activations", "int"},
               [&](Json& q) { inputs(q)["type"] = "int"; }),
      EightBit("FP8 under NVFP4's name", {"weights", "8 bits"},
               [](Json& q) { q["format"] = "nvfp4-pack-quantized"; }),
      Compressed("float-quantized group", {"4 bits", "FP8"},
                 [](Json& q) { q["config_groups"]["group_0"]["format"] = "float-quantized"; }),
      Compressed("mixed without group format", {"mixed-precision"},
                 [](Json& q) { q["format"] = "mixed-precision"; }),
      Compressed("frozen", {"quantization_status", "frozen"},
                 [](Json& q) { q["quantization_status"] = "frozen"; }),
      Compressed("transforms", {"transform_config"},
                 [](Json& q) {
                   q["transform_config"] = {{"config_groups", {{"u", {{"type", "hadamard"}}}}}};
                 }),
      Compressed("sparse", {"sparse"},
                 [](Json& q) {
                   q["sparsity_config"] = {{"format", "sparse-24-bitmask"}};
                 }),
      Compressed("unknown key of the dialect", {"unknown key", "extra"}, [](Json& q) { q["extra"] = 1; }),
      Compressed("unknown key of a group", {"unknown key", "more"},
                 [](Json& q) { q["config_groups"]["group_0"]["more"] = 1; }),
      Compressed("a broken regular expression", {"re:(", "regular expression"},
                 [](Json& q) { q["ignore"] = {"re:("}; }),
      Compressed("a regular expression without end", {"cannot be matched"},
                 [](Json& q) { q["ignore"] = {"re:(([a-z._]|[a-z0-9._])*)*[XY]"}; }),
      Compressed("a huge pattern", {"pattern of"},
                 [](Json& q) { q["ignore"] = {std::string(100'000, '*')}; }),
      {"old file not JSON",
       {"hf_quant_config.json", "not valid JSON"},
       [](Draft& d) {
         d.config.erase("quantization_config");
         d.files["hf_quant_config.json"] = "NVFP4";
       }},
      {"old file with FP8",
       {"hf_quant_config.json", "NVFP4", "up_proj"},
       [](Draft& d) {
         d.config.erase("quantization_config");
         d.files["hf_quant_config.json"] = R"({"quantization": {"quant_algo": "FP8"}})";
       }},
      {"old file with an unknown key",
       {"hf_quant_config.json", "rotation"},
       [](Draft& d) {
         d.config.erase("quantization_config");
         d.files["hf_quant_config.json"] = R"({"quantization": {"quant_algo": "NVFP4", "rotation": 1}})";
       }},
  });
}

TEST(HostileCheckpoint, Folders) {
  const std::string deep_config = std::string(100'000, '[');
  ExpectAll({
      {"config empty", {"config.json", "not valid JSON"}, [](Draft& d) { d.files["config.json"] = ""; }},
      {"config an array", {"config.json", "object"}, [](Draft& d) { d.files["config.json"] = "[]"; }},
      {"config deep", {"config.json", "deeper"}, [=](Draft& d) { d.files["config.json"] = deep_config; }},
      {"config key twice",
       {"config.json", "hidden_size", "twice"},
       [](Draft& d) { d.files["config.json"] = R"({"hidden_size": 1, "hidden_size": 2})"; }},
      {"config too large",
       {"config.json", "at most"},
       [](Draft& d) { d.files["config.json"] = std::string((16 << 20) + 1, ' '); }},
      {"config key unknown",
       {"config.json", "unknown key", "num_experts"},
       [](Draft& d) { d.config["num_experts"] = 8; }},
      {"config field missing",
       {"config.json", "vocab_size", "missing"},
       [](Draft& d) { d.config.erase("vocab_size"); }},
      {"config field negative",
       {"config.json", "num_hidden_layers"},
       [](Draft& d) { d.config["num_hidden_layers"] = -1; }},
      {"config field huge",
       {"config.json", "intermediate_size"},
       [](Draft& d) { d.config["intermediate_size"] = int64_t{1} << 60; }},
      {"config field of another type",
       {"config.json", "hidden_size", "integer"},
       [](Draft& d) { d.config["hidden_size"] = Json::array(); }},
      {"generation config bad",
       {"generation_config.json", "temperature"},
       [](Draft& d) { d.files["generation_config.json"] = R"({"temperature": "hot"})"; }},
      {"index not JSON",
       {"index.json", "not valid JSON"},
       [](Draft& d) {
         d.Shard();
         d.files["model.safetensors.index.json"] = "x";
       }},
      {"index without a map",
       {"index.json", "weight_map"},
       [](Draft& d) {
         d.Shard();
         d.PutIndex(Json::object());
       }},
      {"index with an empty map",
       {"index.json", "weight_map"},
       [](Draft& d) {
         d.Shard();
         d.PutIndex({{"weight_map", Json::object()}});
       }},
      {"index with a number",
       {"index.json", "string"},
       [](Draft& d) {
         Json index = d.Shard();
         index["weight_map"]["a"] = 1;
         d.PutIndex(index);
       }},
      {"index out of the folder",
       {"index.json", "in this folder"},
       [](Draft& d) {
         Json index = d.Shard();
         index["weight_map"]["a"] = "../s1.safetensors";
         d.PutIndex(index);
       }},
      {"index with an absolute path",
       {"index.json", "/etc/passwd"},
       [](Draft& d) {
         Json index = d.Shard();
         index["weight_map"]["a"] = "/etc/passwd";
         d.PutIndex(index);
       }},
      {"shard missing",
       {"s3.safetensors", "cannot be opened"},
       [](Draft& d) {
         Json index = d.Shard();
         index["weight_map"]["z"] = "s3.safetensors";
         d.PutIndex(index);
       }},
      {"tensor missing in its shard",
       {"s1.safetensors", "lacks", "\"z\""},
       [](Draft& d) {
         Json index = d.Shard();
         index["weight_map"]["z"] = "s1.safetensors";
         d.PutIndex(index);
       }},
      {"tensor in another shard",
       {"s1.safetensors", "\"a\"", "s2.safetensors"},
       [](Draft& d) {
         Json index = d.Shard();
         index["weight_map"]["a"] = "s2.safetensors";
         index["weight_map"]["b"] = "s1.safetensors";
         d.PutIndex(index);
       }},
      {"tensor that the index lacks",
       {"s2.safetensors", kNorm, "nowhere"},
       [](Draft& d) {
         Json index = d.Shard();
         index["weight_map"].erase(kNorm);
         d.PutIndex(index);
       }},
      {"tensor in two shards",
       {"s1.safetensors", "\"a\""},
       [](Draft& d) {
         d.tensors["a"] = {"U8", {1}, "y"};
         Json index = d.Shard();
         index["weight_map"]["z"] = "s1.safetensors";
         d.PutIndex(index);
       }},
      {"shard cut off",
       {"s2.safetensors", "lies at"},
       [](Draft& d) {
         d.PutIndex(d.Shard());
         d.files["s2.safetensors"].pop_back();
       }},
      {"module missing in shards", {"b.weight", "missing"}, [](Draft& d) { d.PutIndex(d.Shard()); }},
  });
}

// Things that Draft cannot write: what is there is no file, or not there at all.
TEST(HostileCheckpoint, WhatIsNoFile) {
  const auto check = [](const char* name, std::vector<const char*> words,
                        const std::function<void(const fs::path&)>& spoil) {
    const TemporaryFolder folder;
    Draft().Write(folder.path());
    spoil(folder.path());
    Expect({name, std::move(words), {}}, folder.path());
  };
  const auto replace_by_folder = [](const char* file) {
    return [file](const fs::path& folder) {
      fs::remove(folder / file);
      fs::create_directory(folder / file);
    };
  };
  check("no folder", {"not a folder"}, [](const fs::path& folder) { fs::remove_all(folder); });
  check("a file for the folder", {"not a folder"}, [](const fs::path& folder) {
    fs::remove_all(folder);
    WriteFile(folder, "x");
  });
  check("no config", {"config.json", "cannot be opened"},
        [](const fs::path& folder) { fs::remove(folder / "config.json"); });
  check("no weights", {"has no weights"},
        [](const fs::path& folder) { fs::remove(folder / "model.safetensors"); });
  check("config a folder", {"config.json", "not a regular file"}, replace_by_folder("config.json"));
  check("weights a folder", {"model.safetensors", "not a regular file"},
        replace_by_folder("model.safetensors"));
  check("generation config a folder", {"generation_config.json", "not a regular file"},
        replace_by_folder("generation_config.json"));
  check("generation config a dangling link", {"generation_config.json", "cannot be opened"},
        [](const fs::path& folder) { fs::create_symlink("nowhere", folder / "generation_config.json"); });
  check("weights a dangling link", {"model.safetensors"}, [](const fs::path& folder) {
    fs::remove(folder / "model.safetensors");
    fs::create_symlink("nowhere", folder / "model.safetensors");
  });
}

}  // namespace
}  // namespace fourstep
