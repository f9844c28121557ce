// A tiny checkpoint with something changed, in a folder that goes away.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "tests/checkpoint/checkpoint_files.h"
#include "tests/model/tiny_checkpoint.h"

namespace fourstep {

struct OwnedTensor {
  TensorType type = TensorType::kBf16;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using OwnedTensors = std::map<std::string, OwnedTensor>;

inline OwnedTensors TensorsOf(const std::string& name) {
  OwnedTensors tensors;
  const TensorFolder folder = TensorFolder::Open(TinyCheckpoint(name));
  for (const auto& [tensor, view] : folder.tensors())
    tensors[tensor] = {view.type, view.shape, {view.bytes.begin(), view.bytes.end()}};
  return tensors;
}

class EditedCheckpoint {
 public:
  using Edit = std::function<void(Json& config, OwnedTensors& tensors)>;

  EditedCheckpoint(const std::string& name, const Edit& edit) {
    Json config = ParseJson(ReadFile(TinyCheckpoint(name) / "config.json", size_t{1} << 20), name);
    OwnedTensors tensors = TensorsOf(name);
    edit(config, tensors);
    WriteFile(path() / "config.json", config.dump());
    const std::filesystem::path quantization = TinyCheckpoint(name) / "hf_quant_config.json";
    if (std::filesystem::exists(quantization))
      std::filesystem::copy_file(quantization, path() / "hf_quant_config.json");
    SafetensorsWriter writer(path(), int64_t{1} << 30);
    for (const auto& [tensor, owned] : tensors) {
      writer.AddTensor(tensor, owned.type, owned.shape, [&bytes = owned.bytes](std::span<std::byte> out) {
        std::ranges::copy(bytes, out.begin());
      });
    }
    writer.Finish();
  }

  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

}  // namespace fourstep
