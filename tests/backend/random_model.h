// Random weights, and a small transformer made of them that runs on any backend: what the tests and
// benchmarks of backends share.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/linear_stack.h"
#include "base/philox.h"
#include "formats/bfloat16.h"
#include "formats/mxfp4.h"
#include "formats/nvfp4.h"

namespace fourstep {

// Sum of four uniforms, scaled to variance 1: close enough to a normal.
inline float RandomNormal(PhiloxStream& random) {
  return static_cast<float>((random.Uniform() + random.Uniform() + random.Uniform() + random.Uniform() - 2) *
                            std::sqrt(3.0));
}

// Owns what a LinearWeight views.
class RandomWeight {
 public:
  enum class Fp8Scales { kPerOutput, kOne, kPowersOfTwo };
  struct Options {
    WeightFormat format = WeightFormat::kNvFp4;
    bool has_bias = false, has_pre_quant_scale = false;
    float input_amax = 6.0f;
    float scale = 0;  // standard deviation; 0: 1 / sqrt(k)
    Fp8Scales fp8_scales = Fp8Scales::kPerOutput;
  };

  RandomWeight(int64_t n, int64_t k, const Options& options, uint64_t seed)
      : n_(n), k_(k), options_(options) {
    PhiloxStream random(seed);
    const float sigma = options.scale > 0 ? options.scale : 1 / std::sqrt(static_cast<float>(k));
    std::vector<float> dense(static_cast<size_t>(n * k));
    for (float& w : dense) w = sigma * RandomNormal(random);
    for (int64_t i = 0; options.has_bias && i < n; ++i) bias_.push_back(RandomNormal(random));
    for (int64_t i = 0; options.has_pre_quant_scale && i < k; ++i)
      pre_quant_scale_.push_back(RoundToBFloat16(0.5f + static_cast<float>(random.Uniform())));
    Encode(dense);
    if (options.format == WeightFormat::kFp8) EncodeFp8(dense, random);
  }

  // The same decoded to BF16.
  RandomWeight Decoded() const {
    const LinearWeight w = view();
    RandomWeight out = *this;
    std::vector<float> row(static_cast<size_t>(k_)), dense;
    for (int64_t n = 0; n < n_; ++n) {
      DecodeRow(w, n, row.data());
      dense.insert(dense.end(), row.begin(), row.end());
    }
    out.options_.format = WeightFormat::kBf16;
    out.values_.clear();
    out.output_scales_.clear();
    out.Encode(dense);
    return out;
  }

  LinearWeight view() const {
    LinearWeight w;
    w.name = "random";
    w.format = options_.format;
    w.n = n_;
    w.k = k_;
    w.values = values_;
    w.block_scales = scales_;
    w.global_scale = global_scale_;
    w.output_scales = output_scales_;
    if (options_.format == WeightFormat::kNvFp4) w.input_scale = NvFp4::GlobalScale(options_.input_amax);
    w.bias = bias_;
    w.pre_quant_scale = pre_quant_scale_;
    return w;
  }

 private:
  template <typename Block>
  void Push(const Block& block) {
    for (const uint8_t c : block.codes) values_.push_back(std::byte{c});
    scales_.push_back(block.scale);
  }

  // A fifth of the values are codes at random, so that all of them come.
  void EncodeFp8(const std::vector<float>& dense, PhiloxStream& random) {
    values_.clear();
    const bool has_one = options_.fp8_scales == Fp8Scales::kOne;
    const size_t row = has_one ? dense.size() : static_cast<size_t>(k_);
    for (size_t i = 0; i < dense.size(); ++i) {
      if (i % row == 0) {
        float amax = 0;
        for (size_t j = i; j < i + row; ++j) amax = std::max(amax, std::fabs(dense[j]));
        const float scale = E4M3::Scale(amax);
        output_scales_.push_back(
            options_.fp8_scales == Fp8Scales::kPowersOfTwo ? std::exp2(std::ceil(std::log2(scale))) : scale);
      }
      auto code = static_cast<uint8_t>(random.Below(256));
      if (E4M3::IsNaN(code) || random.Below(5) != 0) code = E4M3::Encode(dense[i] / output_scales_.back());
      values_.push_back(std::byte{code});
    }
  }

  void Encode(const std::vector<float>& dense) {
    float amax = 0;
    for (const float w : dense) amax = std::max(amax, std::fabs(w));
    if (options_.format == WeightFormat::kNvFp4) {
      global_scale_ = NvFp4::GlobalScale(amax);
      for (size_t i = 0; i < dense.size(); i += 16) Push(NvFp4::EncodeWeight(&dense[i], global_scale_));
    } else if (options_.format == WeightFormat::kMxFp4) {
      for (size_t i = 0; i < dense.size(); i += 32) Push(MxFp4::Encode(&dense[i]));
    } else if (options_.format == WeightFormat::kFp32) {
      values_.resize(dense.size() * 4);
      std::memcpy(values_.data(), dense.data(), values_.size());
    } else {
      values_.resize(dense.size() * 2);
      for (size_t i = 0; i < dense.size(); ++i) {
        const BFloat16 b = BFloat16::Encode(dense[i]);
        std::memcpy(values_.data() + 2 * i, &b.bits, 2);
      }
    }
  }

  int64_t n_, k_;
  Options options_;
  float global_scale_ = 1;
  std::vector<std::byte> values_;
  std::vector<uint8_t> scales_;
  std::vector<float> output_scales_, bias_, pre_quant_scale_;
};

struct RandomModelShape {
  int32_t hidden = 96, num_layers = 2, num_heads = 6, num_kv_heads = 2, head_dim = 16, ffn = 160, vocab = 203;
  Numerics numerics = Numerics::kW4A4;
  WeightFormat dense_format = WeightFormat::kBf16;  // of kBf16's linears, and of the head
  bool has_head_norms = true, has_bias = false, has_pre_quant_scale = false;
  int32_t num_blocks = 64, block_tokens = 16, max_slots = 8;
  KvCacheFormat kv_cache = KvCacheFormat::kBf16;
};

// Scales of an FP8 cache that differ and are no powers of two; none for a BF16 one.
inline std::vector<KvScales> UnevenScales(KvCacheFormat format, int32_t num_layers) {
  std::vector<KvScales> scales;
  for (int32_t l = 0; format == KvCacheFormat::kFp8 && l < num_layers; ++l)
    scales.push_back({.k = 0.03f + 0.01f * static_cast<float>(l), .v = 0.7f});
  return scales;
}

// The forward of a Qwen3-like model. Same shape and seed, same weights on every backend.
class RandomModel {
 public:
  RandomModel(Backend& backend, const RandomModelShape& shape, uint64_t seed) : b_(backend), s_(shape) {
    uint64_t next = seed * 1000;
    RandomWeight::Options options{.has_bias = s_.has_bias};
    if (s_.numerics == Numerics::kBf16) options.format = s_.dense_format;
    const auto add = [&](std::initializer_list<int64_t> outputs, int64_t k, bool may_scale) {
      std::vector<RandomWeight> weights;
      RandomWeight::Options o = options;
      o.has_pre_quant_scale = may_scale && s_.has_pre_quant_scale;
      for (const int64_t n : outputs) weights.emplace_back(n, k, o, next++);
      std::vector<LinearWeight> views;
      for (const RandomWeight& w : weights) views.push_back(w.view());
      return b_.AddLinear(views, s_.numerics);
    };
    const int64_t q = s_.num_heads * s_.head_dim, kv = s_.num_kv_heads * s_.head_dim;
    for (int32_t l = 0; l < s_.num_layers; ++l) {
      layers_.push_back({.qkv = add({q, kv, kv}, s_.hidden, false),
                         .o = add({s_.hidden}, q, true),
                         .gate_up = add({s_.ffn, s_.ffn}, s_.hidden, false),
                         .down = add({s_.hidden}, s_.ffn, true),
                         .attention_norm = AddNorm(s_.hidden, next++),
                         .ffn_norm = AddNorm(s_.hidden, next++),
                         .q_norm = s_.has_head_norms ? AddNorm(s_.head_dim, next++) : VectorId{},
                         .k_norm = s_.has_head_norms ? AddNorm(s_.head_dim, next++) : VectorId{}});
    }
    final_norm_ = AddNorm(s_.hidden, next++);
    const RandomWeight table(s_.vocab, s_.hidden, {.format = WeightFormat::kBf16, .scale = 1}, next++);
    embedding_ = b_.AddEmbedding(table.view());
    const RandomWeight own_head(s_.vocab, s_.hidden, {.format = WeightFormat::kFp8, .scale = 1}, next++);
    const LinearWeight head = (s_.dense_format == WeightFormat::kFp8 ? own_head : table).view();
    head_ = b_.AddLinear({&head, 1}, Numerics::kBf16);
    x_ = b_.AddActivation(s_.hidden);
    normed_ = b_.AddActivation(s_.hidden);
    qkv_ = b_.AddActivation(static_cast<int32_t>(q + 2 * kv));
    attended_ = b_.AddActivation(static_cast<int32_t>(q));
    gated_ = b_.AddActivation(s_.ffn);
    RopeTable rope;
    for (int32_t i = 0; i < s_.head_dim / 2; ++i)
      rope.inv_freq.push_back(
          std::pow(1e4f, -2.0f * static_cast<float>(i) / static_cast<float>(s_.head_dim)));
    b_.AllocateKvCache({.num_layers = s_.num_layers,
                        .attention = {s_.num_heads, s_.num_kv_heads, s_.head_dim},
                        .num_blocks = s_.num_blocks,
                        .block_tokens = s_.block_tokens,
                        .max_slots = s_.max_slots,
                        .format = s_.kv_cache,
                        .scales = UnevenScales(s_.kv_cache, s_.num_layers)},
                       rope);
  }

  // The logits are left in the backend.
  void Step(const Batch& batch, bool draw = false) {
    constexpr float kEpsilon = 1e-6f;
    b_.BeginStep(batch);
    b_.Embed(x_, embedding_);
    for (int32_t l = 0; l < s_.num_layers; ++l) {
      const Layer& layer = layers_[static_cast<size_t>(l)];
      b_.Norm(normed_, x_, layer.attention_norm, kEpsilon, layer.qkv);
      b_.Linear(qkv_, normed_, layer.qkv);
      b_.RotateAndAppend(qkv_, l, layer.q_norm, layer.k_norm, kEpsilon);
      b_.Attention(attended_, qkv_, l, layer.o);
      b_.LinearResidual(x_, attended_, layer.o);
      b_.Norm(normed_, x_, layer.ffn_norm, kEpsilon, layer.gate_up);
      b_.GatedLinear(gated_, normed_, layer.gate_up, layer.down);
      b_.LinearResidual(x_, gated_, layer.down);
    }
    b_.Head(x_, final_norm_, kEpsilon, head_);
    if (draw) b_.Draw();
    b_.EndStep();
  }

  const RandomModelShape& shape() const { return s_; }

 private:
  struct Layer {
    LinearId qkv, o, gate_up, down;
    VectorId attention_norm, ffn_norm, q_norm, k_norm;
  };

  VectorId AddNorm(int32_t n, uint64_t seed) {
    PhiloxStream random(seed);
    std::vector<float> values;
    for (int32_t i = 0; i < n; ++i)
      values.push_back(RoundToBFloat16(0.5f + static_cast<float>(random.Uniform())));
    return b_.AddVector(values);
  }

  Backend& b_;
  RandomModelShape s_;
  std::vector<Layer> layers_;
  VectorId final_norm_;
  EmbeddingId embedding_;
  LinearId head_;
  ActivationId x_, normed_, qkv_, attended_, gated_;
};

// The arrays that a Batch views, filled row by row.
struct BatchRows {
  std::vector<int32_t> tokens, positions, slots, draw_rows, block_tables;
  int32_t max_blocks = 0;

  void Add(int32_t slot, int32_t position, int32_t token, bool draws) {
    if (draws) draw_rows.push_back(static_cast<int32_t>(tokens.size()));
    tokens.push_back(token);
    positions.push_back(position);
    slots.push_back(slot);
  }
  // Slot s owns blocks that are `stride` apart, so that tables differ in more than an offset. Their number
  // and the stride have no common factor.
  void SetTables(int32_t num_slots, int32_t blocks_each, int32_t stride = 1) {
    max_blocks = blocks_each;
    block_tables.clear();
    for (int32_t s = 0; s < num_slots; ++s)
      for (int32_t i = 0; i < blocks_each; ++i)
        block_tables.push_back((s * blocks_each + i) * stride % (num_slots * blocks_each));
  }
  Batch view() const {
    Batch batch;
    batch.tokens = tokens;
    batch.positions = positions;
    batch.slots = slots;
    batch.draw_rows = draw_rows;
    batch.block_tables = block_tables;
    batch.max_blocks = max_blocks;
    return batch;
  }
};

}  // namespace fourstep
