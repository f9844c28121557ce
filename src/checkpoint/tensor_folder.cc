// TensorFolder: one safetensors file, or shards and their index.
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxIndexBytes = size_t{64} << 20;

// tensor -> shard, as the index says.
std::map<std::string, std::string> ReadIndex(const fs::path& path) {
  const std::string where = path.string();
  const Json json =
      ParseJson(ReadFile(path, kMaxIndexBytes), where, {.max_bytes = kMaxIndexBytes, .max_depth = 8});
  const Json& weight_map = JsonReader(json, where).Get("weight_map");
  if (!weight_map.is_object() || weight_map.empty()) {
    throw Error(where, "\"weight_map\" is not an object with tensors in it");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : weight_map.items()) {
    if (!shard.is_string()) throw Errorf(where, "the shard of \"{}\" is not a string", Printable(tensor));
    const fs::path name = shard.get<std::string>();
    // Only files beside the index: an index may not lead anywhere else.
    if (name != name.filename() || name.extension() != ".safetensors") {
      throw Errorf(where, "the shard of \"{}\" is \"{}\", expected a safetensors file in this folder",
                   Printable(tensor), Printable(name.string()));
    }
    shards.emplace(tensor, name.string());
  }
  return shards;
}

}  // namespace

TensorFolder TensorFolder::Open(const fs::path& folder) {
  std::error_code ignored;
  TensorFolder result;
  const fs::path single = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  if (fs::exists(single, ignored)) {
    result.files_.emplace_back(single);
    result.tensors_ = ParseSafetensors(result.files_.back().bytes(), single.string());
    return result;
  }
  if (!fs::exists(index, ignored)) {
    throw Error(folder.string(),
                "has no weights: expected model.safetensors or model.safetensors.index.json");
  }
  const std::map<std::string, std::string> shard_of = ReadIndex(index);
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) {
    const fs::path path = folder / shard;
    result.files_.emplace_back(path);
    for (auto& [tensor, view] : ParseSafetensors(result.files_.back().bytes(), path.string())) {
      const auto it = shard_of.find(tensor);
      if (it == shard_of.end() || it->second != shard) {
        throw Errorf(path.string(), "has tensor \"{}\", which {} puts {}{}", Printable(tensor),
                     index.filename().string(), it == shard_of.end() ? "nowhere" : "into ",
                     it == shard_of.end() ? "" : it->second);
      }
      result.tensors_.emplace(tensor, std::move(view));
    }
  }
  for (const auto& [tensor, shard] : shard_of) {
    if (!result.tensors_.contains(tensor)) {
      throw Errorf((folder / shard).string(), "lacks tensor \"{}\", which {} puts into it", Printable(tensor),
                   index.filename().string());
    }
  }
  return result;
}

}  // namespace fourstep
