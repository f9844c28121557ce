// Folders: config.json, the index of shards, and files that are none.
#include "hostile_draft.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

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
