// What is read and written beside the codes: types, shards, files of the folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/quantize/edited_checkpoint.h"
#include "tests/quantize/quantize_tiny.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

OwnedTensor Widened(const OwnedTensor& tensor) {
  OwnedTensor wide{TensorType::kF32, tensor.shape, std::vector<std::byte>(2 * tensor.bytes.size())};
  for (size_t i = 0; i < tensor.bytes.size() / 2; ++i) {
    const float x = Bf16At(tensor, i);
    std::memcpy(&wide.bytes[4 * i], &x, 4);
  }
  return wide;
}

// Binary16. Normal values are exact, because BF16 has fewer mantissa bits; subnormal ones are rounded.
OwnedTensor Halved(const OwnedTensor& tensor) {
  OwnedTensor half{TensorType::kF16, tensor.shape, std::vector<std::byte>(tensor.bytes.size())};
  for (size_t i = 0; i < tensor.bytes.size() / 2; ++i) {
    const uint32_t bits = FloatBits(Bf16At(tensor, i));
    const float magnitude = std::fabs(Bf16At(tensor, i));
    const auto out =
        static_cast<uint16_t>((bits >> 16 & 0x8000u) |
                              (magnitude < 0x1p-14f ? static_cast<uint32_t>(std::lround(magnitude * 0x1p24f))
                                                    : ((bits & 0x7FFFFFFFu) >> 13) - (112u << 10)));
    std::memcpy(&half.bytes[2 * i], &out, 2);
  }
  return half;
}

TEST(Quantize, KeepsTheTypeOfWhatStaysDense) {
  const TempFolder folder;
  QuantizeTiny(TinyCheckpoint("tiny-qwen2"), folder / "bf16", WeightsOnly());
  const OwnedTensors bf16 = ReadTensors(folder / "bf16");
  for (const TensorType type : {TensorType::kF32, TensorType::kF16}) {
    const std::string source = "source-" + std::string(TensorTypeName(type));
    const std::string result = "out-" + std::string(TensorTypeName(type));
    OwnedTensors edited;
    CopyTiny("tiny-qwen2", folder / source, [&](OwnedTensors& tensors) {
      for (auto& [name, tensor] : tensors)
        tensor = type == TensorType::kF32 ? Widened(tensor) : Halved(tensor);
      edited = tensors;
    });
    QuantizeTiny(folder / source, folder / result, WeightsOnly());
    const OwnedTensors made = ReadTensors(folder / result);
    ASSERT_EQ(made.size(), bf16.size());
    for (const auto& [name, tensor] : made) {
      const bool is_quantised = edited.count(name) == 0 || tensor.type == TensorType::kU8;
      // Rounding in Halved changes no code: it is far below half a step.
      EXPECT_TRUE(tensor == (is_quantised ? bf16.at(name) : edited.at(name))) << name << " of " << source;
    }
  }
}

TEST(Quantize, WritesShardsAndTheirIndex) {
  const TempFolder folder;
  QuantizeTiny(TinyCheckpoint("tiny-qwen3"), folder / "one", WeightsOnly());
  QuantizeOptions options = WeightsOnly();
  for (const int64_t shard_bytes :
       {1, 2000, 20000}) {  // 1: every tensor alone, codes apart from their scales
    options.shard_bytes = shard_bytes;
    const std::string name = std::to_string(shard_bytes);
    QuantizeTiny(TinyCheckpoint("tiny-qwen3"), folder / name, options);
    EXPECT_FALSE(fs::exists(folder / name / "model.safetensors"));
    EXPECT_TRUE(fs::exists(folder / name / "model.safetensors.index.json"));
    EXPECT_TRUE(ReadTensors(folder / name) == ReadTensors(folder / "one")) << name;
  }
}

TEST(Quantize, ReadsShards) {
  const TempFolder folder;
  fs::create_directory(folder / "source");
  for (const char* name : {"config.json", "tokenizer.json"})
    fs::copy(TinyCheckpoint("tiny-qwen3") / name, folder / "source");
  SafetensorsWriter writer(folder / "source", 5000);
  const OwnedTensors tensors = ReadTensors(TinyCheckpoint("tiny-qwen3"));
  for (const auto& [name, tensor] : tensors) {
    writer.AddTensor(name, tensor.type, tensor.shape, [&](std::span<std::byte> out) {
      std::copy(tensor.bytes.begin(), tensor.bytes.end(), out.begin());
    });
  }
  writer.Finish();
  ASSERT_TRUE(fs::exists(folder / "source" / "model.safetensors.index.json"));
  QuantizeTiny(folder / "source", folder / "from shards", WeightsOnly());
  QuantizeTiny(TinyCheckpoint("tiny-qwen3"), folder / "from one", WeightsOnly());
  EXPECT_TRUE(ReadTensors(folder / "from shards") == ReadTensors(folder / "from one"));
  EXPECT_FALSE(fs::exists(folder / "from shards" / "model.safetensors.index.json"));
}

TEST(Quantize, CopiesWhatBelongsToTheModel) {
  const TempFolder folder;
  const fs::path source = folder / "source", out = folder / "out";
  CopyTiny("tiny-qwen3", source);
  WriteBytes(source / "LICENSE", std::string("any\0bytes\n", 10));
  WriteBytes(source / "empty.txt", "");
  WriteBytes(source / "reset.json", "{}");
  WriteBytes(source / "pytorch_model.bin", "weights");
  WriteBytes(source / "pytorch_model.bin.index.json", "{}");
  WriteBytes(source / ".hidden", "x");
  fs::create_directory(source / "onnx");
  WriteBytes(source / "onnx" / "file", "x");
  WriteBytes(folder / "blob", "linked");
  fs::create_symlink(folder / "blob", source / "chat_template.jinja");
  const QuantizeReport report = QuantizeTiny(source, out, WeightsOnly());
  EXPECT_THAT(report.left_out_files,
              ElementsAre("pytorch_model.bin", "pytorch_model.bin.index.json", "reset.json"));
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(out)) {
    names.insert(entry.path().filename().string());
    EXPECT_FALSE(entry.is_symlink()) << entry.path();
  }
  EXPECT_THAT(names, ElementsAre("LICENSE", "chat_template.jinja", "config.json", "empty.txt",
                                 "generation_config.json", "hf_quant_config.json", "model.safetensors",
                                 "tokenizer.json", "tokenizer_config.json"));
  for (const char* name : {"LICENSE", "chat_template.jinja", "empty.txt", "generation_config.json",
                           "tokenizer.json", "tokenizer_config.json"})
    EXPECT_EQ(ReadBytes(out / name), ReadBytes(source / name)) << name;
  // config.json says nothing new but the quantisation.
  Json config = Json::parse(ReadBytes(out / "config.json"));
  EXPECT_EQ(config.erase("quantization_config"), 1u);
  EXPECT_EQ(config, Json::parse(ReadBytes(source / "config.json")));
}

}  // namespace
}  // namespace fourstep
