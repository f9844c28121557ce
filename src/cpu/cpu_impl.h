// The CPU backend's tables and operations. Methods are defined by family: cpu_backend.cc (life, sampling,
// results), cpu_rows.cc (embedding, norm, the form that a consumer reads), cpu_linear.cc, cpu_attention.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/thread_pool.h"
#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"
#include "cpu/mapped_memory.h"
#include "cpu/packed_linear.h"
#include "sampling/draw_slots.h"

namespace fourstep::cpu {

inline int64_t RoundUp16(int64_t n) {
  return (n + 15) / 16 * 16;
}

// Rows of one activation. Values are BF16 kept as floats, so that kernels broadcast them without decoding.
// Between width and stride they stay zero.
struct Rows {
  int64_t width = 0, stride = 0;
  std::vector<float> values;         // [max_rows, stride]
  std::vector<int8_t> doubled;       // [max_rows, stride], NVFP4 (EncodedRows): where `consumer` wants it
  std::vector<float> scales;         // [max_rows, stride / 16]
  std::vector<int32_t> corrections;  // [max_rows, stride / 16]
  LinearId consumer;                 // in whose special form the rows are; -1: plain BF16

  Rows(int64_t row_width, int64_t max_rows);
  float* row(int64_t r) { return values.data() + r * stride; }
  const float* row(int64_t r) const { return values.data() + r * stride; }
};

struct PreparedLinear {
  Numerics numerics = Numerics::kBf16;
  int64_t n = 0, k = 0;  // n: of all parts
  float input_scale = 1;
  std::vector<float> pre_quant_scale;  // [stride] or empty
  std::vector<PackedWeight> parts;     // the stacked weights

  bool reads_special_form() const { return numerics == Numerics::kW4A4 || !pre_quant_scale.empty(); }
  bool ReadsFormOf(const PreparedLinear& o) const {
    return numerics == o.numerics && input_scale == o.input_scale && pre_quant_scale == o.pre_quant_scale;
  }
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(const Kernels& kernels, int num_threads, int32_t max_rows)
      : kernels_(kernels), threads_(num_threads), max_rows_(max_rows) {}

  std::string name() const override;
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
  struct Embedding {
    int64_t n, k;
    std::vector<uint16_t> values;  // [n, k] BF16
  };
  struct Vector {
    int64_t n;
    std::vector<float> values;  // padded with zeros to a multiple of 16
  };

  Rows& rows(ActivationId id);
  const PreparedLinear& linear(LinearId id) const;
  const Vector& vector(VectorId id) const;
  int32_t num_rows() const { return batch_->num_rows(); }

  // f(first, last, thread) on contiguous shares of 0..count-1, one a thread; on this thread alone where the
  // whole work is not worth waking the others for.
  template <typename F>
  void ForShares(int64_t count, int64_t work_bytes, const F& f) {
    constexpr int64_t kWorthwhileBytes = 256 << 10;
    threads_.ForShares(count, work_bytes < kWorthwhileBytes ? 1 : threads_.num_threads(), f);
  }

  // Row r of `out` holds fp32 values: they become BF16, in the form that `consumer` reads.
  void StoreRow(Rows& out, int64_t r, LinearId consumer);
  // The form of the rows becomes `consumer`'s; checks that widths agree.
  void SetForm(Rows& out, LinearId consumer);
  void CheckForm(const PreparedLinear& l, const Rows& x) const;
  // y[num_rows, 16] = the raw sums of one group of outputs for rows from first_row on.
  void MultiplyGroup(const PreparedLinear& l, const PackedWeight& w, int64_t group, const Rows& x,
                     int64_t first_row, int64_t num_rows, float* y) const;
  // out[r * out_stride + o] = (W x[r] + bias)[o] (+ what is there, where `add`)
  void Multiply(const PreparedLinear& l, const Rows& x, int64_t num_rows, bool add, bool round, float* out,
                int64_t out_stride);
  int32_t CacheBlock(int32_t slot, int32_t position) const;
  const float* NormAndRotate(float* head, int64_t row, const Vector* norm, float epsilon,
                             float* scratch) const;
  void Append(int64_t at, int64_t in_block, const float* k, const float* v, const KvScales& scales);

  const Kernels& kernels_;
  ThreadPool threads_;
  const int32_t max_rows_;
  std::vector<PreparedLinear> linears_;
  std::vector<Vector> vectors_;
  std::vector<Embedding> embeddings_;
  std::vector<Rows> rows_;
  std::vector<Rows> head_rows_;  // the normed input of the head, made on first use

  KvCacheShape cache_shape_;
  RopeTable rope_;
  int64_t k_head_values_ = 0, v_head_values_ = 0;  // of one kv head in one cache block
  MappedMemory<uint8_t> k_cache_,
      v_cache_;                           // [num_layers, num_kv_heads, num_blocks, head values] of the format
  std::vector<float> cos_, sin_;          // [num_rows, head_dim / 2] of this step's positions
  std::vector<float> attention_scratch_;  // [num_threads, ...]

  DrawSlots slots_;
  const Batch* batch_ = nullptr;  // of the step that is under way or was the last
  bool in_step_ = false;
  std::vector<int32_t> tokens_;  // [num_rows], kLastDrawnToken resolved
  std::vector<float> logits_;    // [num_draws, vocab]
};

}  // namespace fourstep::cpu
