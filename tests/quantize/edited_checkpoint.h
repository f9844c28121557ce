// Altered copies of the tiny checkpoints, and what is in a folder.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "formats/bfloat16.h"
#include "tests/model/tiny_checkpoint.h"

namespace fourstep {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = testing::TempDir() + "/fourstep_quantize_XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  // All names in it, hidden ones too, sorted.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::filesystem::path path_;
};

inline std::string ReadBytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void WriteBytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

struct OwnedTensor {
  TensorType type;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
  bool operator==(const OwnedTensor&) const = default;
};

using OwnedTensors = std::map<std::string, OwnedTensor>;

inline OwnedTensors ReadTensors(const std::filesystem::path& folder) {
  const TensorFolder file = TensorFolder::Open(folder);
  OwnedTensors tensors;
  for (const auto& [name, view] : file.tensors())
    tensors[name] = {view.type, view.shape, {view.bytes.begin(), view.bytes.end()}};
  return tensors;
}

// The BF16 value at `index`.
inline float Bf16At(const OwnedTensor& tensor, size_t index) {
  uint16_t bits;
  std::memcpy(&bits, &tensor.bytes.at(2 * index), 2);
  return BFloat16::Decode({bits});
}

inline void SetBf16(OwnedTensor& tensor, size_t index, float value) {
  const BFloat16 encoded = BFloat16::Encode(value);
  std::memcpy(&tensor.bytes.at(2 * index), &encoded.bits, 2);
}

// A copy of the tiny checkpoint `name` at `folder`, its tensors and its config.json altered.
inline void CopyTiny(const std::string& name, const std::filesystem::path& folder,
                     const std::function<void(OwnedTensors&)>& edit_tensors = {},
                     const std::function<void(Json&)>& edit_config = {}) {
  std::filesystem::copy(TinyCheckpoint(name), folder);
  if (edit_tensors) {
    OwnedTensors tensors = ReadTensors(folder);
    edit_tensors(tensors);
    SafetensorsWriter writer(folder, int64_t{1} << 30);
    for (const auto& [tensor_name, tensor] : tensors) {
      writer.AddTensor(tensor_name, tensor.type, tensor.shape,
                       [bytes = tensor.bytes](std::span<std::byte> out) {
                         std::copy(bytes.begin(), bytes.end(), out.begin());
                       });
    }
    writer.Finish();
  }
  if (edit_config) {
    Json config = Json::parse(ReadBytes(folder / "config.json"));
    edit_config(config);
    WriteBytes(folder / "config.json", config.dump());
  }
}

}  // namespace fourstep
