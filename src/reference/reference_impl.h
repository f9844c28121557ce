// The reference backend's tables and operations. Methods are defined by family: reference_backend.cc (life,
// sampling, results), reference_rows.cc (embedding, norm, the form that a consumer reads),
// reference_linear.cc, reference_attention.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "formats/bfloat16.h"
#include "formats/nvfp4.h"
#include "reference/cached_values.h"
#include "reference/reference_backend.h"
#include "sampling/draw_slots.h"

namespace fourstep {

class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(const ReferenceOptions& options) : max_rows_(options.max_rows) {}

  std::string name() const override { return "reference"; }
  LinearId AddLinear(std::span<const LinearWeight> weights, Numerics numerics) override;
  VectorId AddVector(std::span<const float> values) override;
  EmbeddingId AddEmbedding(const LinearWeight& table) override;
  ActivationId AddActivation(int32_t width) override;
  void AllocateKvCache(const KvCacheShape& shape, const RopeTable& rope) override;
  int32_t max_rows() const override { return max_rows_; }

  void BeginStep(const Batch& batch) override;
  void EndStep() override;
  void Embed(ActivationId out, EmbeddingId table) override;
  void Norm(ActivationId out, ActivationId x, VectorId weight, float epsilon, LinearId consumer) override;
  void Linear(ActivationId out, ActivationId x, LinearId linear) override;
  void LinearResidual(ActivationId residual, ActivationId x, LinearId linear) override;
  void GatedLinear(ActivationId out, ActivationId x, LinearId gate_up, LinearId consumer) override;
  void RotateAndAppend(ActivationId qkv, int32_t layer, VectorId q_norm, VectorId k_norm,
                       float epsilon) override;
  void Attention(ActivationId out, ActivationId qkv, int32_t layer, LinearId consumer) override;
  void Head(ActivationId x, VectorId norm, float epsilon, LinearId head) override;
  void Draw() override;

  void SetSlot(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt) override {
    slots_.SetSlot(slot, request, prompt);
  }
  void SetBoundaryTokens(std::span<const int32_t> contains_blank_line, std::span<const int32_t> is_newline,
                         int32_t num_drawable) override {
    slots_.SetBoundaryTokens({contains_blank_line, is_newline, num_drawable});
  }
  std::vector<DrawResult> ReadRecords(bool) override { return slots_.TakeRecords(); }
  std::vector<float> ReadLogits() override { return logits_; }
  std::vector<float> ReadActivation(ActivationId x) override;

 private:
  // One of the stacked weights.
  struct Part {
    WeightFormat format;  // kBf16, kFp8, kNvFp4 or kMxFp4
    int64_t n;
    std::vector<BFloat16> dense;       // [n, k]
    std::vector<uint8_t> codes;        // [n, k / 2]; FP8 [n, k]
    std::vector<uint8_t> scales;       // [n, k / block]
    double global_scale;               // 1 where the format has none
    std::vector<float> output_scales;  // [n], FP8
    std::vector<float> bias;           // [n] or empty
  };
  struct PreparedLinear {
    Numerics numerics;
    int64_t n, k;  // n: of all parts
    float input_scale;
    std::vector<float> pre_quant_scale;  // [k] or empty
    std::vector<Part> parts;

    // Anything but plain BF16.
    bool reads_special_form() const { return numerics == Numerics::kW4A4 || !pre_quant_scale.empty(); }
    bool ReadsFormOf(const PreparedLinear& o) const {
      return numerics == o.numerics && input_scale == o.input_scale && pre_quant_scale == o.pre_quant_scale;
    }
  };
  // Rows [max_rows, width]; which of the two forms holds is said by `consumer`.
  struct Rows {
    int32_t width;
    std::vector<BFloat16> values;      // [max_rows, width]
    std::vector<NvFp4::Block> blocks;  // [max_rows, width / 16]
    LinearId consumer;                 // in whose special form the rows are; -1: plain BF16
  };
  struct Embedding {
    int64_t n, k;
    std::vector<BFloat16> values;  // [n, k]
  };

  Rows& rows(ActivationId id);
  const PreparedLinear& linear(LinearId id) const;
  const std::vector<float>& vector(VectorId id) const;
  int32_t num_rows() const { return batch_->num_rows(); }

  // Row `r` becomes `values` [width], rounded to BF16, in the form that `consumer` reads.
  void StoreRow(Rows& out, int32_t r, std::span<const double> values, LinearId consumer);
  void NormRow(std::span<const BFloat16> x, std::span<const float> weight, double epsilon,
               std::span<double> out) const;
  // out[n] = W x[r] + bias in double; x must have been written in the form `linear` reads.
  void MultiplyRow(const PreparedLinear& l, const Rows& x, int32_t r, std::span<double> out) const;
  // Where position `position` of `slot` lies in a cache: the first of the head_dim values of kv head `head`.
  size_t CacheOffset(int32_t layer, int32_t slot, int32_t position, int32_t head) const;
  // In place; `scratch` gets what was rounded.
  void NormAndRotate(std::span<BFloat16> head, int32_t position, VectorId norm, double epsilon,
                     std::span<double> scratch) const;

  int32_t max_rows_;
  std::vector<PreparedLinear> linears_;
  std::vector<std::vector<float>> vectors_;
  std::vector<Embedding> embeddings_;
  std::vector<Rows> rows_;
  KvCacheShape cache_shape_;
  RopeTable rope_;
  CachedValues k_cache_, v_cache_;  // [num_layers, num_blocks, block_tokens, num_kv_heads, head_dim]
  DrawSlots slots_;
  const Batch* batch_ = nullptr;  // of the step that is under way or was the last
  bool in_step_ = false;
  std::vector<int32_t> tokens_;  // [num_rows], kLastDrawnToken resolved
  std::vector<float> logits_;    // [num_draws, vocab]
};

}  // namespace fourstep
