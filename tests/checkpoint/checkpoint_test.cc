// Checkpoints through real files, in both dialects, in one file and in shards.
#include "checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "checkpoint_files.h"
#include "formats/bfloat16.h"

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
  WriteQuantizedConfig(folder.path(), source, dialect, weights_only, {"lm_head"});

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

}  // namespace
}  // namespace fourstep
