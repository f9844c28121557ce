// Backend: the operations that a model's forward is written in, as coarse as the kernels that run them.
//
// Every operation reads BF16 (or an encoded activation), computes in fp32 and rounds once, at its output. A
// row's result depends on nothing but that row's sequence: not on the other rows, the slot, the number of
// threads, or on whether earlier positions were computed in this step or an earlier one. docs/numerics.md
// states the contract; src/reference is its plainest implementation and the oracle of the others.
//
// Life: AddLinear/AddVector/AddEmbedding/AddActivation and AllocateKvCache at load; then steps. A step is
// BeginStep, operations, EndStep. A backend may run them at once, launch them, or record them: results are
// defined after EndStep only, through ReadRecords / ReadLogits / ReadActivation. Not thread-safe: one thread
// drives a backend.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/batch.h"
#include "backend/numerics.h"
#include "backend/sampling_request.h"
#include "formats/kv_cache_format.h"
#include "formats/linear_weight.h"

namespace fourstep {

// Handles are small indices into the backend's own tables; id < 0 is "none".
struct LinearId {
  int32_t id = -1;
};
struct VectorId {
  int32_t id = -1;
};
struct EmbeddingId {
  int32_t id = -1;
};
struct ActivationId {
  int32_t id = -1;
};

// Rotary embedding, resolved from the checkpoint's rope settings by the model. The angle of pair i at a
// position is float(position) * inv_freq[i], rounded to fp32 as the published models compute it; cos and sin
// of that number are then taken with the precision of the backend.
struct RopeTable {
  std::vector<float> inv_freq;  // [head_dim / 2] radians per position
  float attention_factor = 1;   // multiplies cos and sin (yarn)
};

struct AttentionShape {
  int32_t num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int32_t qkv_width() const { return (num_heads + 2 * num_kv_heads) * head_dim; }
};

struct KvCacheShape {
  int32_t num_layers = 0;
  AttentionShape attention;
  int32_t num_blocks = 0;
  int32_t block_tokens = 0;
  int32_t max_slots = 0;
  KvCacheFormat format = KvCacheFormat::kBf16;
  std::vector<KvScales> scales = {};  // kFp8: [num_layers], each IsKvScale, or empty: all are 1

  KvScales scales_of(int32_t layer) const {
    return scales.empty() ? KvScales{} : scales[static_cast<size_t>(layer)];
  }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;  // with what it chose: "cpu (avx512-vnni, 8 threads)"

  // --- Load

  // A linear of one or more weights that share their input, stacked along the outputs (q|k|v, gate|up): all
  // must have the same k, pre_quant_scale and, under kW4A4, input scale. Repacks or uploads: `weights` may go
  // away. kW4A4 where every weight is NVFP4 and has an input scale, kW4A16 where every weight has 4 bits;
  // throws Error otherwise. Under kBf16 an FP8 weight stays exactly what it is and any other is decoded and
  // rounded to BF16; formats may mix.
  virtual LinearId AddLinear(std::span<const LinearWeight> weights, Numerics numerics) = 0;
  virtual VectorId AddVector(std::span<const float> values) = 0;    // [n]: norm weights
  virtual EmbeddingId AddEmbedding(const LinearWeight& table) = 0;  // dense [vocab, hidden]
  // Rows for up to max_rows() tokens of `width` values: BF16, or encoded as a consumer wants them. An
  // operation that is given a `consumer` writes what that linear reads: times its pre_quant_scale (rounded to
  // BF16 again), then NVFP4 under kW4A4. A consumer of id -1 reads BF16.
  virtual ActivationId AddActivation(int32_t width) = 0;
  virtual void AllocateKvCache(const KvCacheShape& shape,
                               const RopeTable& rope) = 0;  // throws Error: no memory
  virtual int32_t max_rows() const = 0;

  // --- One step: `batch` must stay valid until EndStep.

  virtual void BeginStep(const Batch& batch) = 0;
  virtual void EndStep() = 0;

  // out[r] = table[token of row r]
  virtual void Embed(ActivationId out, EmbeddingId table) = 0;
  // out[r] = x[r] / rms(x[r]) * weight, in the form `consumer` reads (BF16, or NVFP4 with its input scale).
  virtual void Norm(ActivationId out, ActivationId x, VectorId weight, float epsilon, LinearId consumer) = 0;
  // out[r] = W x[r] + bias
  virtual void Linear(ActivationId out, ActivationId x, LinearId linear) = 0;
  // residual[r] += W x[r] + bias, one rounding
  virtual void LinearResidual(ActivationId residual, ActivationId x, LinearId linear) = 0;
  // gate_up is two weights of n outputs each. out[r] = silu(gate x[r]) * (up x[r]), in the form `consumer`
  // reads.
  virtual void GatedLinear(ActivationId out, ActivationId x, LinearId gate_up, LinearId consumer) = 0;
  // qkv[r] = q heads | k heads | v heads. Per head: RMSNorm of q and k (where the weights are given), RoPE; k
  // and v go to the cache of `layer` at the row's position, rounded once to its format; q stays in qkv.
  virtual void RotateAndAppend(ActivationId qkv, int32_t layer, VectorId q_norm, VectorId k_norm,
                               float epsilon) = 0;
  // Causal attention of row r's q heads over positions 0..its own; scale head_dim^-0.5; in `consumer`'s form.
  virtual void Attention(ActivationId out, ActivationId qkv, int32_t layer, LinearId consumer) = 0;
  // For each draw row d: logits[d] = head(norm(x[row of d])), fp32, [num_draws, vocab].
  virtual void Head(ActivationId x, VectorId norm, float epsilon, LinearId head) = 0;
  // Statistics, policy and draw of every draw row, by its slot's sampling state (SetSlot). The token drawn is
  // what kLastDrawnToken means for that slot from the next step on.
  virtual void Draw() = 0;

  // --- Sampling state and results

  // A new answer begins in `slot`. Between steps only; with penalties, biases or an automaton after
  // SetBoundaryTokens. `prompt`: what the repetition penalty knows of tokens before the answer. Throws Error
  // where there is no memory for what the request asks beyond its policy: the slot must then be set again.
  virtual void SetSlot(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt) = 0;
  // Token sets that the policy's step borders need, and ids never to be drawn (padding of the vocabulary).
  virtual void SetBoundaryTokens(std::span<const int32_t> contains_blank_line,
                                 std::span<const int32_t> is_newline, int32_t num_drawable) = 0;
  // The records of tokens drawn since the last call, in order. `wait`: of all steps ended so far; otherwise
  // what is there already, so that a device may run ahead of the host.
  virtual std::vector<DrawResult> ReadRecords(bool wait) = 0;

  // --- Looking inside (tests, calibration, evaluation)

  virtual std::vector<float> ReadLogits() = 0;  // [num_draws, vocab] of the last step
  // As the operations issued so far left it: an observer may ask inside a step (the backend then waits).
  // After a step, what a later operation of it has read is gone: a backend may join the two.
  virtual std::vector<float> ReadActivation(ActivationId x) = 0;  // [num_rows, width] decoded
};

}  // namespace fourstep
