// The safetensors format: 8 bytes header length, a JSON header (name -> dtype, shape, data_offsets), then the
// data. Reading is for hostile files: everything the header says is checked before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace fourstep {

enum class TensorType {
  kF64,
  kF32,
  kF16,
  kBf16,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool
};

std::string_view TensorTypeName(TensorType type);  // as the format spells it: "BF16", "F8_E4M3"
int64_t TensorTypeBytes(TensorType type);          // of one value

// A view into the file. `bytes` is row-major and may lie at any alignment.
struct TensorView {
  TensorType type = TensorType::kF32;
  std::vector<int64_t> shape;  // empty: a scalar
  std::span<const std::byte> bytes;

  int64_t num_values() const;
};

using TensorMap = std::map<std::string, TensorView, std::less<>>;

// The tensors of a safetensors file given as bytes, which must outlive the views. Throws Error (naming
// `where` and the tensor) for a header that is cut off, not JSON, too long or lying: an unknown dtype, a size
// that is not the shape's, ranges that overlap, leave a hole or end before the data does, a name twice, more
// than 1,000,000 tensors.
TensorMap ParseSafetensors(std::span<const std::byte> bytes, const std::string& where);

// The tensors of a checkpoint folder: model.safetensors, or the shards that model.safetensors.index.json
// names. Movable; views stay valid.
class TensorFolder {
 public:
  // Throws Error also where a shard is missing, a tensor is not in the shard that the index names, or in two.
  static TensorFolder Open(const std::filesystem::path& folder);

  const TensorMap& tensors() const { return tensors_; }

 private:
  std::vector<MappedFile> files_;
  TensorMap tensors_;
};

// Writes shards of at most `shard_bytes` of tensors each (more only where one tensor is larger) and their
// index, or one model.safetensors. Tensors go to shards in the order of AddTensor; inside a shard the wider
// types come first, so that all values are aligned.
class SafetensorsWriter {
 public:
  // `folder` exists. Nothing is complete before Finish.
  SafetensorsWriter(std::filesystem::path folder, int64_t shard_bytes);

  // `fill(out)` writes the tensor's bytes into `out` (zeros before) when its turn comes: one tensor at a time
  // is in memory. A name may stand once.
  void AddTensor(const std::string& name, TensorType type, std::vector<int64_t> shape,
                 std::function<void(std::span<std::byte>)> fill);
  // Writes everything; the index, if any, last. Throws std::runtime_error where a file cannot be written:
  // files that were finished before stay, none is left half-written.
  void Finish();

 private:
  struct Pending {
    std::string name;
    TensorType type;
    std::vector<int64_t> shape;
    int64_t size_bytes;
    std::function<void(std::span<std::byte>)> fill;
  };
  struct Shard {
    std::string file;
    int64_t size_bytes = 0;
    std::vector<const Pending*> tensors;  // in the order of their data
  };
  std::vector<Shard> Divide();
  void WriteShard(const Shard& shard) const;

  std::filesystem::path folder_;
  int64_t shard_bytes_;
  std::vector<Pending> tensors_;
};

}  // namespace fourstep
