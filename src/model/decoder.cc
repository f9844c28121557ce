#include "model/decoder.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "checkpoint/module_names.h"
#include "model/rope.h"

namespace fourstep {
namespace {

DecoderLayerWeights ReadLayer(Checkpoint& checkpoint, int64_t index, const DecoderTraits& traits) {
  const HfConfig& c = checkpoint.config();
  const std::string layer = fmt::format("model.layers.{}.", index), attention = layer + "self_attn.",
                    mlp = layer + "mlp.";
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  DecoderLayerWeights w;
  w.attention_norm = checkpoint.Vector(layer + "input_layernorm.weight", c.hidden_size);
  w.qkv = ReadStack(checkpoint,
                    {{attention + "q_proj", q}, {attention + "k_proj", kv}, {attention + "v_proj", kv}},
                    c.hidden_size, traits.has_qkv_bias);
  if (traits.has_head_norms) {
    w.q_norm = checkpoint.Vector(attention + "q_norm.weight", c.head_dim);
    w.k_norm = checkpoint.Vector(attention + "k_norm.weight", c.head_dim);
  }
  w.o = ReadStack(checkpoint, {{attention + "o_proj", c.hidden_size}}, q, false);
  w.kv_scales = checkpoint.CacheScales(layer + "self_attn");
  w.ffn_norm = checkpoint.Vector(layer + "post_attention_layernorm.weight", c.hidden_size);
  w.gate_up = ReadStack(checkpoint,
                        {{mlp + "gate_proj", c.intermediate_size}, {mlp + "up_proj", c.intermediate_size}},
                        c.hidden_size, false);
  w.down = ReadStack(checkpoint, {{mlp + "down_proj", c.hidden_size}}, c.intermediate_size, false);
  return w;
}

DecoderWeights ReadWeights(Checkpoint& checkpoint, const DecoderTraits& traits) {
  const HfConfig& c = checkpoint.config();
  DecoderWeights w;
  w.embedding = checkpoint.Table(kEmbeddingModule, c.vocab_size, c.hidden_size);
  for (int64_t i = 0; i < c.num_layers; ++i) w.layers.push_back(ReadLayer(checkpoint, i, traits));
  w.norm = checkpoint.Vector("model.norm.weight", c.hidden_size);
  if (!c.tie_word_embeddings)
    w.head = ReadStack(checkpoint, {{kHeadModule, c.vocab_size}}, c.hidden_size, false);
  checkpoint.ExpectAllRead();
  return w;
}

class Decoder final : public Model {
 public:
  Decoder(const HfConfig& config, const DecoderWeights& weights, Backend& backend,
          const ModelOptions& options)
      : b_(backend),
        epsilon_(static_cast<float>(config.rms_norm_epsilon)),
        numerics_(ChooseNumerics(weights.stacks(), options.numerics, config.where)),
        kv_cache_(options.kv_cache.value_or(KvCacheFormat::kBf16)) {
    Bind(weights);
    AllocateRows(config);
    AllocateCache(config, weights, options);
  }

  void Forward(LinearObserver* observer) override {
    const auto show = [&](const BoundLinear& linear, ActivationId input) {
      if (observer != nullptr) observer->Observe(linear.modules, input);
    };
    b_.Embed(x_, embedding_);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& l = layers_[i];
      const auto index = static_cast<int32_t>(i);
      b_.Norm(normed_, x_, l.attention_norm, epsilon_, l.qkv.id);
      show(l.qkv, normed_);
      b_.Linear(qkv_, normed_, l.qkv.id);
      b_.RotateAndAppend(qkv_, index, l.q_norm, l.k_norm, epsilon_);
      b_.Attention(attended_, qkv_, index, l.o.id);
      show(l.o, attended_);
      b_.LinearResidual(x_, attended_, l.o.id);
      b_.Norm(normed_, x_, l.ffn_norm, epsilon_, l.gate_up.id);
      show(l.gate_up, normed_);
      b_.GatedLinear(gated_, normed_, l.gate_up.id, l.down.id);
      show(l.down, gated_);
      b_.LinearResidual(x_, gated_, l.down.id);
    }
    if (observer != nullptr) {  // the head norms its input itself, and does not show it
      b_.Norm(normed_, x_, norm_, epsilon_, head_.id);
      show(head_, normed_);
    }
    b_.Head(x_, norm_, epsilon_, head_.id);
  }

  Numerics numerics() const override { return numerics_; }
  KvCacheFormat kv_cache() const override { return kv_cache_; }
  int64_t num_parameters() const override { return num_parameters_; }
  int64_t weight_bytes_per_token() const override { return weight_bytes_per_token_; }

 private:
  struct Layer {
    VectorId attention_norm, ffn_norm, q_norm, k_norm;
    BoundLinear qkv, o, gate_up, down;
  };

  void Bind(const DecoderWeights& weights) {
    Binder binder(b_, numerics_);
    embedding_ = binder.Embedding(weights.embedding);
    for (const DecoderLayerWeights& w : weights.layers) {
      layers_.push_back({.attention_norm = binder.Vector(w.attention_norm),
                         .ffn_norm = binder.Vector(w.ffn_norm),
                         .q_norm = w.q_norm.empty() ? VectorId{} : binder.Vector(w.q_norm),
                         .k_norm = w.k_norm.empty() ? VectorId{} : binder.Vector(w.k_norm),
                         .qkv = binder.Linear(w.qkv),
                         .o = binder.Linear(w.o),
                         .gate_up = binder.Linear(w.gate_up),
                         .down = binder.Linear(w.down)});
    }
    norm_ = binder.Vector(weights.norm);
    head_ = weights.head.empty() ? binder.TiedHead(weights.embedding) : binder.Linear(weights.head);
    num_parameters_ = binder.num_parameters();
    weight_bytes_per_token_ = binder.weight_bytes_per_token();
  }

  static AttentionShape AttentionOf(const HfConfig& c) {
    return {.num_heads = static_cast<int32_t>(c.num_heads),
            .num_kv_heads = static_cast<int32_t>(c.num_kv_heads),
            .head_dim = static_cast<int32_t>(c.head_dim)};
  }

  void AllocateRows(const HfConfig& c) {
    const AttentionShape attention = AttentionOf(c);
    const auto width = static_cast<int32_t>(c.hidden_size);
    x_ = b_.AddActivation(width);
    normed_ = b_.AddActivation(width);
    qkv_ = b_.AddActivation(attention.qkv_width());
    attended_ = b_.AddActivation(attention.num_heads * attention.head_dim);
    gated_ = b_.AddActivation(static_cast<int32_t>(c.intermediate_size));
  }

  void AllocateCache(const HfConfig& c, const DecoderWeights& weights, const ModelOptions& options) {
    FOURSTEP_CHECK(options.max_slots > 0 && options.block_tokens > 0 && options.num_cache_blocks >= 0,
                   "{} slots, {} blocks of {} tokens", options.max_slots, options.num_cache_blocks,
                   options.block_tokens);
    std::vector<KvScales> scales;
    if (kv_cache_ == KvCacheFormat::kFp8) {
      for (const DecoderLayerWeights& w : weights.layers) scales.push_back(w.kv_scales);
    }
    const int64_t blocks_for_one = (c.max_positions + options.block_tokens - 1) / options.block_tokens;
    b_.AllocateKvCache({.num_layers = static_cast<int32_t>(c.num_layers),
                        .attention = AttentionOf(c),
                        .num_blocks = options.num_cache_blocks > 0 ? options.num_cache_blocks
                                                                   : static_cast<int32_t>(blocks_for_one),
                        .block_tokens = options.block_tokens,
                        .max_slots = options.max_slots,
                        .format = kv_cache_,
                        .scales = std::move(scales)},
                       MakeRopeTable(c.rope, c.head_dim));
  }

  Backend& b_;
  float epsilon_;
  Numerics numerics_;
  KvCacheFormat kv_cache_;
  EmbeddingId embedding_;
  std::vector<Layer> layers_;
  VectorId norm_;
  BoundLinear head_;
  ActivationId x_, normed_, qkv_, attended_, gated_;
  int64_t num_parameters_ = 0, weight_bytes_per_token_ = 0;
};

}  // namespace

std::vector<const LinearStack*> DecoderWeights::stacks() const {
  std::vector<const LinearStack*> all = {&head};
  for (const DecoderLayerWeights& l : layers) all.insert(all.end(), {&l.qkv, &l.o, &l.gate_up, &l.down});
  return all;
}

std::unique_ptr<Model> BindDecoder(const HfConfig& config, const DecoderWeights& weights, Backend& backend,
                                   const ModelOptions& options) {
  return std::make_unique<Decoder>(config, weights, backend, options);
}

std::unique_ptr<Model> LoadDecoder(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options,
                                   const DecoderTraits& traits) {
  ModelOptions resolved = options;
  resolved.kv_cache = options.kv_cache.value_or(checkpoint.kv_cache());
  return BindDecoder(checkpoint.config(), ReadWeights(checkpoint, traits), backend, resolved);
}

void ExpectNoAttentionBias(const HfConfig& config) {
  if (config.attention_bias) {
    throw Errorf(config.where, "\"attention_bias\" is true, which {} does not have here",
                 config.architecture);
  }
}

}  // namespace fourstep
