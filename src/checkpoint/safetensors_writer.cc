// SafetensorsWriter: shards, their headers and the index.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace fourstep {
namespace {

// Data starts at a multiple of 8, so that every value of every type is aligned (see LayOut).
constexpr size_t kAlignmentBytes = 8;

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::filesystem::path folder, int64_t shard_bytes)
    : folder_(std::move(folder)), shard_bytes_(shard_bytes) {
  FOURSTEP_CHECK(shard_bytes_ > 0);
}

void SafetensorsWriter::AddTensor(const std::string& name, TensorType type, std::vector<int64_t> shape,
                                  std::function<void(std::span<std::byte>)> fill) {
  int64_t size_bytes = TensorTypeBytes(type);
  for (const int64_t dimension : shape) {
    FOURSTEP_CHECK(dimension >= 0 && !__builtin_mul_overflow(size_bytes, dimension, &size_bytes), "{}", name);
  }
  tensors_.push_back({name, type, std::move(shape), size_bytes, std::move(fill)});
}

std::vector<SafetensorsWriter::Shard> SafetensorsWriter::Divide() {
  std::vector<Shard> shards(1);
  for (Pending& tensor : tensors_) {
    if (!shards.back().tensors.empty() && shards.back().size_bytes + tensor.size_bytes > shard_bytes_) {
      shards.emplace_back();
    }
    shards.back().size_bytes += tensor.size_bytes;
    shards.back().tensors.push_back(&tensor);
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    // Wider types first: their sizes are multiples of the narrower ones', so that all are aligned, which
    // readers that make arrays of the mapped bytes need.
    std::stable_sort(shards[i].tensors.begin(), shards[i].tensors.end(),
                     [](const Pending* a, const Pending* b) {
                       return TensorTypeBytes(a->type) > TensorTypeBytes(b->type);
                     });
    shards[i].file = shards.size() == 1
                         ? "model.safetensors"
                         : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

void SafetensorsWriter::WriteShard(const Shard& shard) const {
  Json header = {{"__metadata__", {{"format", "pt"}}}};  // without it transformers refuses the file
  int64_t offset_bytes = 0;
  for (const Pending* tensor : shard.tensors) {
    FOURSTEP_CHECK(!header.contains(tensor->name), "tensor {} added twice", tensor->name);
    header[tensor->name] = {{"dtype", TensorTypeName(tensor->type)},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset_bytes, offset_bytes + tensor->size_bytes}}};
    offset_bytes += tensor->size_bytes;
  }
  std::string text = DumpJson(header);
  text.append((kAlignmentBytes - text.size() % kAlignmentBytes) % kAlignmentBytes, ' ');
  const auto header_bytes = static_cast<uint64_t>(text.size());

  const std::filesystem::path path = folder_ / shard.file;
  AtomicOutput output(path, AtomicOutput::Kind::kFile, /*replace=*/true);
  std::ofstream stream(output.path(), std::ios::binary);
  stream.write(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  std::vector<std::byte> bytes;
  for (const Pending* tensor : shard.tensors) {
    bytes.assign(static_cast<size_t>(tensor->size_bytes), std::byte{0});
    tensor->fill(bytes);
    stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!stream) break;
  }
  stream.close();
  if (!stream) {
    throw std::runtime_error(fmt::format("{}: cannot be written: {}", path.string(), std::strerror(errno)));
  }
  output.Commit();
}

void SafetensorsWriter::Finish() {
  const std::vector<Shard> shards = Divide();
  Json weight_map = Json::object();
  int64_t total_bytes = 0;
  for (const Shard& shard : shards) {
    WriteShard(shard);
    total_bytes += shard.size_bytes;
    for (const Pending* tensor : shard.tensors) {
      FOURSTEP_CHECK(weight_map.emplace(tensor->name, shard.file).second, "tensor {} added twice",
                     tensor->name);
    }
  }
  if (shards.size() > 1) {  // last: the index is what makes the shards a checkpoint
    const Json index = {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", weight_map}};
    WriteFile(folder_ / "model.safetensors.index.json", index.dump(2) + "\n");
  }
}

}  // namespace fourstep
