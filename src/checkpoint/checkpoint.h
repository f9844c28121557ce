// A model's folder: configuration and weights, whatever dialect they are written in. Backends and models see
// LinearWeight only.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/hf_config.h"
#include "checkpoint/quantization_config.h"
#include "checkpoint/safetensors.h"
#include "formats/kv_cache_format.h"
#include "formats/linear_weight.h"

namespace fourstep {

class Checkpoint {
 public:
  // Reads config.json, generation_config.json (optional), hf_quant_config.json (optional) and the headers of
  // the weights; maps the weights. Throws Error for anything wrong or unknown: a quantisation method, a
  // format, a non-empty transform_config, weights of another kind than NVFP4, MXFP4 or FP8.
  static Checkpoint Open(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const HfConfig& config() const { return config_; }
  const GenerationConfig& generation() const { return generation_; }
  // End-of-sequence ids: generation_config.json's, else config.json's.
  std::span<const int32_t> eos_token_ids() const;
  Dialect dialect() const { return quantization_.dialect; }
  // The KV cache that the checkpoint asks for.
  KvCacheFormat kv_cache() const { return quantization_.kv_cache.value_or(KvCacheFormat::kBf16); }
  const TensorMap& tensors() const { return tensors_.tensors(); }

  // The linear `module` ("model.layers.0.self_attn.q_proj") with its bias, if it has one: dense, FP8, NVFP4
  // or MXFP4, as its tensors are. Views stay valid as long as the checkpoint. Throws Error naming the tensor
  // where one is missing, has another shape or type, or holds a scale that is NaN, infinite, negative (or
  // zero, but for those of blocks), or an FP8 value that is NaN.
  LinearWeight Linear(const std::string& module, int64_t n, int64_t k);
  // A dense table [n, k] by the module's name ("model.embed_tokens").
  LinearWeight Table(const std::string& module, int64_t n, int64_t k);
  // A vector [n] by its tensor's name, as fp32.
  std::span<const float> Vector(const std::string& tensor, int64_t n);
  // The scales of the FP8 cache of `attention` ("model.layers.0.self_attn"); 1 where the checkpoint has none,
  // or those of another format. Throws Error naming the tensor where one is not a single number from 2^-96 to
  // 2^96, or there are two for the same.
  KvScales CacheScales(const std::string& attention);
  bool Has(std::string_view tensor) const;

  // Throws Error naming a tensor that none of the calls above has read: it would be ignored silently. Known
  // leftovers (a tied lm_head.weight, rotary_emb.inv_freq, KV-cache scales) are allowed.
  void ExpectAllRead() const;

 private:
  const TensorView& Get(const std::string& tensor);
  const TensorView& Get(const std::string& tensor, std::initializer_list<TensorType> types,
                        const std::vector<int64_t>& shape);
  float Scalar(const std::string& tensor, std::initializer_list<TensorType> types = {TensorType::kF32});
  std::span<const float> OutputScales(const std::string& tensor, int64_t n);
  float CacheScale(const std::string& attention, std::string_view kind);
  std::string Where(std::string_view tensor) const;
  void ReadDense(LinearWeight& weight);
  void ReadFp8(LinearWeight& weight);
  void ReadFourBit(const std::string& codes, LinearWeight& weight);
  void ReadGlobalScales(LinearWeight& weight);

  std::filesystem::path folder_;
  HfConfig config_;
  GenerationConfig generation_;
  QuantizationConfig quantization_;
  TensorFolder tensors_;
  std::set<std::string, std::less<>> read_;
  std::deque<std::vector<float>> floats_;  // what was converted to fp32
};

}  // namespace fourstep
