// The CUDA backend's tables, and a step as a recorded program.
//
// Operations are recorded between BeginStep and EndStep. EndStep runs the program: as a captured graph where
// a step of the same shape ran before, else launch by launch. Whatever differs between steps of one shape
// lies in device memory (tokens, positions, block tables, sampling state), so a graph is replayed without
// updates. After a draw the device moves tokens and positions on by itself: a step of decode rows alone
// uploads nothing.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "cuda/attention.h"
#include "cuda/cuda_backend.h"
#include "cuda/device.h"
#include "cuda/linear.h"
#include "cuda/packed_linear.h"
#include "cuda/row_tiles.h"
#include "cuda/rows.h"
#include "cuda/sampling.h"
#include "cuda/slot_adjustments.h"

namespace fourstep::cuda {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options);
  ~CudaBackend() override;

  std::string name() const override { return name_; }
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

  void SetSlot(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt) override;
  void SetBoundaryTokens(std::span<const int32_t> contains_blank_line, std::span<const int32_t> is_newline,
                         int32_t num_drawable) override;
  std::vector<DrawResult> ReadRecords(bool wait) override;
  std::vector<float> ReadLogits() override;
  std::vector<float> ReadActivation(ActivationId x) override;

 private:
  enum class Kind : int32_t { kEmbed, kNorm, kLinear, kResidual, kGated, kRotate, kAttention, kHead, kDraw };
  // One recorded operation; ids are those of the call, -1 where it has none.
  struct Op {
    Kind kind{};
    int32_t out = -1, x = -1, linear = -1, vector = -1, vector2 = -1, layer = -1;
    float epsilon = 0;
    friend bool operator==(const Op&, const Op&) = default;
  };
  // What a graph was captured for.
  struct Shape {
    int32_t num_rows = 0, num_draws = 0, max_blocks = 0;
    int32_t max_context = 0;  // no row's is longer
    bool has_slots_apart = false;
    int32_t num_alone = 0, num_shared = 0;  // tiles of rows, as attention has them
    DrawExtras extras = {};
    friend bool operator==(const Shape&, const Shape&) = default;
  };
  struct Graph {
    Shape shape;
    std::vector<Op> program;
    cudaGraphExec_t exec = nullptr;  // null: ran launch by launch so far
  };
  struct Activation {
    DeviceArray<uint16_t> values;  // [max_rows, stride]
    int32_t width = 0, stride = 0;
    LinearId consumer;  // in whose special form the rows are; -1: plain BF16
    RowsView view() const { return {values.data(), width, stride}; }
  };
  struct Embedding {
    DeviceArray<uint16_t> values;  // [n, stride]
    int64_t n;
    int32_t stride;
  };
  // The host's copy of what the step arrays on the device hold.
  struct StepArrays {
    std::vector<int32_t> tokens, positions, slots, draw_rows, block_tables, row_tiles;
  };

  // cuda_backend.cc: life, sampling, results.
  Activation& activation(ActivationId id);
  const PackedLinear& linear(LinearId id) const;
  const float* VectorData(VectorId id) const;
  void AllocateSlots(int32_t count);
  void ReserveLogits(int32_t num_draws, int32_t vocab);
  void ReserveExtras(const DrawExtras& extras);

  // cuda_step.cc: recording, and what a step works on.
  void CheckBatch(const Batch& batch) const;
  void SetForm(Activation& out, LinearId consumer);
  void ExpectForm(const Activation& x, LinearId reader) const;
  void ReserveTables(size_t count);
  void Upload(const Batch& batch);
  void UploadTiles(const Batch& batch);
  void UploadArray(std::vector<int32_t>& held, std::span<const int32_t> wanted, int32_t* to);

  // cuda_program.cc: programs and graphs.
  void RunProgram();
  void LaunchAll();
  bool JoinsNext(size_t i) const;
  bool IsOnlyReader(size_t i) const;
  void LaunchOp(size_t i);
  void LaunchLinearOp(size_t i, Epilogue epilogue);
  WeightsAhead WeightsAheadOf(size_t i) const;
  CacheAhead CacheAheadOf(size_t i) const;
  void LaunchHead(const Op& op);
  void LaunchAttentionOp(const Op& op, const Op* rotate);  // with the rotation that joins it, or null
  HeadNorms NormsOf(const Op& rotate) const;
  CacheView LayerCache(int32_t layer) const;
  SamplingView Sampling() const;
  void DropGraphs();
  RowForm FormOf(LinearId consumer) const;

  const int32_t max_rows_;
  const int32_t device_;
  std::string name_;
  DeviceLimits limits_;
  cudaStream_t stream_ = nullptr;

  std::vector<PackedLinear> linears_;
  std::vector<DeviceArray<float>> vectors_;
  std::vector<int32_t> vector_sizes_;
  std::vector<Embedding> embeddings_;
  std::vector<Activation> activations_;
  KvCacheShape cache_shape_;
  CacheView cache_{};  // without k, v and their scales
  DeviceArray<uint8_t> k_cache_, v_cache_;
  DeviceArray<float> inv_freq_, attention_partial_;
  DeviceArray<float2> turns_;
  DeviceArray<int32_t> attention_arrived_;

  StepView step_{};
  DeviceArray<int32_t> tokens_, positions_, slots_, draw_rows_, block_tables_, row_tiles_;
  StepArrays held_;
  PinnedArray<int32_t> staging_;
  size_t staging_at_ = 0;

  std::vector<Op> program_;
  Shape shape_;
  int32_t max_token_ = 0;  // of the rows of this step
  bool in_step_ = false, is_capturing_ = false, has_split_ = false;
  std::vector<Graph> graphs_;

  Activation head_rows_;  // normed rows that draw
  int32_t vocab_ = 0;
  DeviceArray<float> logits_, adjusted_;
  int32_t logits_rows_ = 0;

  int32_t num_slots_ = 0, num_drawable_ = INT32_MAX;
  DeviceArray<SlotState> slot_states_;
  SlotAdjustments adjustments_;
  DeviceArray<int32_t> last_tokens_, list_count_, num_done_;
  DeviceArray<uint8_t> classes_;
  DeviceArray<PartStats> part_stats_;
  DeviceArray<uint64_t> part_mass_, part_bins_, part_top_, next_record_;
  DeviceArray<RowDecision> decisions_;
  DeviceArray<ListedToken> list_;
  PinnedArray<TokenRecord> ring_;
  PinnedArray<TopTokens> top_ring_;  // as long, or none so far
  PinnedArray<uint64_t> num_written_;
  uint64_t num_read_ = 0, num_launched_ = 0;  // records read, and those that steps launched so far will write
};

}  // namespace fourstep::cuda
