// safetensors: what the writer writes is read back, aligned, in shards of the asked size; a large header is
// fast. Bad files are in hostile_safetensors_test.cc.
#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <numeric>

#include "base/error.h"
#include "checkpoint_files.h"

namespace fourstep {
namespace {

std::string Contents(const std::filesystem::path& path) {
  return ReadFile(path, size_t{1} << 30);
}

TEST(Safetensors, ReadsAFileAsTheFormatDefinesIt) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[2,1],"data_offsets":[4,6]},)"
      R"("a":{"data_offsets":[0,4],"shape":[],"dtype":"F32"},)"
      R"("e":{"dtype":"I64","shape":[3,0],"data_offsets":[6,6]}}   )";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  file += header;
  file += std::string("\0\0\x80\x3F\x07\x08", 6);
  const TensorMap tensors = ParseSafetensors(std::as_bytes(std::span(file)), "file");
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors.at("a").type, TensorType::kF32);
  EXPECT_TRUE(tensors.at("a").shape.empty());
  EXPECT_EQ(tensors.at("a").num_values(), 1);
  EXPECT_EQ(tensors.at("b").shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(tensors.at("b").bytes[1], std::byte{8});
  EXPECT_EQ(tensors.at("e").num_values(), 0);
}

constexpr TensorType kAllTypes[] = {
    TensorType::kF64,    TensorType::kF32,    TensorType::kF16, TensorType::kBf16, TensorType::kF8E4M3,
    TensorType::kF8E5M2, TensorType::kF8E8M0, TensorType::kI64, TensorType::kI32,  TensorType::kI16,
    TensorType::kI8,     TensorType::kU8,     TensorType::kBool};

TEST(SafetensorsWriter, GivesBackEveryTypeAligned) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.path(), 1 << 20);
  std::mt19937 random(1);
  std::map<std::string, std::vector<uint8_t>> expected;
  for (int i = 0; i < 60; ++i) {
    const TensorType type = kAllTypes[random() % std::size(kAllTypes)];
    const std::vector<int64_t> shape = {1 + int64_t(random() % 3), 1 + int64_t(random() % 5)};
    std::vector<uint8_t> bytes(static_cast<size_t>(shape[0] * shape[1] * TensorTypeBytes(type)));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const std::string name = fmt::format("tensor \"{}\" \u00e9", i);
    expected[name] = bytes;
    writer.AddTensor(name, type, shape, Filler(bytes));
  }
  writer.Finish();
  const TensorFolder read = TensorFolder::Open(folder.path());
  ASSERT_EQ(read.tensors().size(), expected.size());
  for (const auto& [name, view] : read.tensors()) {
    EXPECT_TRUE(SameBytes(view.bytes, std::as_bytes(std::span(expected.at(name))))) << name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.bytes.data()) % TensorTypeBytes(view.type), 0u) << name;
  }
}

TEST(SafetensorsWriter, DividesIntoShards) {
  for (const int64_t shard_bytes : {1, 100, 250, 1000, 5000}) {
    const TemporaryFolder folder;
    SafetensorsWriter writer(folder.path(), shard_bytes);
    int64_t total_bytes = 0;
    for (int i = 0; i < 20; ++i) {
      const int64_t size_bytes = 10 * i;
      writer.AddTensor(fmt::format("t{}", i), TensorType::kU8, {size_bytes}, [i](std::span<std::byte> out) {
        std::fill(out.begin(), out.end(), static_cast<std::byte>(i));
      });
      total_bytes += size_bytes;
    }
    writer.Finish();
    const TensorFolder read = TensorFolder::Open(folder.path());
    ASSERT_EQ(read.tensors().size(), 20u);
    for (int i = 0; i < 20; ++i) {
      EXPECT_THAT(read.tensors().at(fmt::format("t{}", i)).bytes, testing::Each(static_cast<std::byte>(i)));
    }
    if (total_bytes <= shard_bytes) {
      EXPECT_TRUE(std::filesystem::exists(folder.path() / "model.safetensors"));
      continue;
    }
    const Json index = ParseJson(Contents(folder.path() / "model.safetensors.index.json"), "index");
    EXPECT_EQ(index["metadata"]["total_size"], total_bytes);
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      if (entry.path().extension() != ".safetensors") continue;
      const MappedFile file(entry.path());
      const TensorMap tensors = ParseSafetensors(file.bytes(), "shard");
      int64_t size_bytes = 0;
      for (const auto& [name, view] : tensors) size_bytes += static_cast<int64_t>(view.bytes.size());
      EXPECT_TRUE(size_bytes <= shard_bytes || tensors.size() <= 2u) << entry.path() << " " << size_bytes;
    }
  }
}

TEST(SafetensorsWriter, LeavesNoHalfWrittenFile) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.path(), 1 << 20);
  writer.AddTensor("a", TensorType::kU8, {100},
                   [](std::span<std::byte>) { throw std::runtime_error("interrupted"); });
  EXPECT_THROW(writer.Finish(), std::runtime_error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(SafetensorsWriter, SaysWhereItCannotWrite) {
  SafetensorsWriter writer("/nonexistent/folder", 1 << 20);
  writer.AddTensor("a", TensorType::kU8, {1}, Filler(std::vector<uint8_t>{1}));
  try {
    writer.Finish();
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("/nonexistent/folder"));
  }
}

TEST(Safetensors, ReadsALargeHeaderFast) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder.path(), 1 << 20);
  for (int i = 0; i < 100'000; ++i) {
    writer.AddTensor(fmt::format("model.layers.{}.mlp.experts.{}.down_proj.weight_scale", i / 1000, i % 1000),
                     TensorType::kU8, {1, 1}, [](std::span<std::byte>) {});
  }
  writer.Finish();
  const std::clock_t start = std::clock();  // of the processor, not of the wall: machines are busy
  EXPECT_EQ(TensorFolder::Open(folder.path()).tensors().size(), 100'000u);
  // Some 0.2 s, with sanitizers 2 s; anything quadratic would take minutes.
  EXPECT_LT(std::clock() - start, 20 * CLOCKS_PER_SEC);
}

}  // namespace
}  // namespace fourstep
