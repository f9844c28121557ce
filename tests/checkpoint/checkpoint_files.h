// Small checkpoints on disk for tests: a folder that goes away, a config.json, a random NVFP4 weight.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/quantized_writer.h"
#include "checkpoint/safetensors.h"

namespace fourstep {

// A new empty folder, removed by the destructor.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static std::atomic<int> count = 0;
    path_ = std::filesystem::path(testing::TempDir()) / fmt::format("fourstep-{}-{}", getpid(), count++);
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// config.json of a small Qwen3, without quantization_config.
inline Json SmallConfig() {
  return {{"architectures", {"Qwen3ForCausalLM"}},
          {"model_type", "qwen3"},
          {"hidden_size", 64},
          {"intermediate_size", 96},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 16},
          {"vocab_size", 128},
          {"max_position_embeddings", 512},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1000000.0},
          {"tie_word_embeddings", true},
          {"hidden_act", "silu"},
          {"eos_token_id", 2},
          {"torch_dtype", "bfloat16"}};
}

// Random codes and scales: any code, any scale that is not NaN or negative.
struct RandomNvFp4 {
  std::vector<std::byte> codes;         // [n, k/2]
  std::vector<std::byte> block_scales;  // [n, k/16]

  RandomNvFp4(int64_t n, int64_t k, uint32_t seed)
      : codes(static_cast<size_t>(n * k / 2)), block_scales(static_cast<size_t>(n * k / 16)) {
    std::mt19937 random(seed);
    for (std::byte& code : codes) code = static_cast<std::byte>(random() & 0xFF);
    for (std::byte& scale : block_scales) scale = static_cast<std::byte>(random() % 0x7F);
  }

  NvFp4Module Module(const std::string& name, int64_t n, int64_t k) const {
    NvFp4Module module;
    module.name = name;
    module.n = n;
    module.k = k;
    module.fill_codes = [this](std::span<std::byte> out) {
      std::copy(codes.begin(), codes.end(), out.begin());
    };
    module.fill_block_scales = [this](std::span<std::byte> out) {
      std::copy(block_scales.begin(), block_scales.end(), out.begin());
    };
    return module;
  }
};

// A fill function that copies `values`.
template <class T>
std::function<void(std::span<std::byte>)> Filler(std::vector<T> values) {
  return [values = std::move(values)](std::span<std::byte> out) {
    const auto bytes = std::as_bytes(std::span(values));
    ASSERT_EQ(bytes.size(), out.size());
    std::copy(bytes.begin(), bytes.end(), out.begin());
  };
}

inline bool SameBytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace fourstep
