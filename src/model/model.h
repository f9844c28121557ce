// A model: weights of a checkpoint bound to a backend, and the forward as straight-line operations.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "backend/backend.h"
#include "checkpoint/checkpoint.h"

namespace fourstep {

// Of a cache block, where nothing speaks for another number.
inline constexpr int32_t kCacheBlockTokens = 16;

struct ModelOptions {
  // Of the linears that have 4 bits; dense ones run in BF16 whatever this says. Absent: the best that the
  // checkpoint allows (w4a4 where every 4-bit linear has an input scale, w4a16 where there are 4-bit linears,
  // bf16 otherwise).
  std::optional<Numerics> numerics;
  std::optional<KvCacheFormat> kv_cache = {};  // absent: what the checkpoint asks for
  int32_t max_slots = 8;                       // sequences at a time
  int32_t block_tokens = kCacheBlockTokens;
  int32_t num_cache_blocks = 0;  // 0: enough for one sequence of max_positions
};

// Sees the input of every linear that could be quantised, as the step reaches it (calibration); the head's
// for every row, whether it draws or not. The activation is plain BF16 where the model runs in bf16.
class LinearObserver {
 public:
  virtual ~LinearObserver() = default;
  // `modules` share this input: {"model.layers.0.self_attn.q_proj", "...k_proj", "...v_proj"}.
  virtual void Observe(std::span<const std::string> modules, ActivationId input) = 0;
};

class Model {
 public:
  virtual ~Model() = default;

  // Binds every weight; the checkpoint may go away afterwards. `backend` must outlive the model. Throws
  // Error: an architecture that is not built in, a tensor missing, misshapen or left over, numerics that the
  // checkpoint does not allow.
  static std::unique_ptr<Model> Load(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options);

  // Between BeginStep and EndStep: everything from the embedding to the head. Drawing is the caller's.
  virtual void Forward(LinearObserver* observer = nullptr) = 0;

  virtual Numerics numerics() const = 0;  // of the 4-bit linears; kBf16 where there are none
  virtual KvCacheFormat kv_cache() const = 0;
  virtual int64_t num_parameters() const = 0;
  virtual int64_t weight_bytes_per_token() const = 0;  // read by one decode step at batch 1, head included
};

// The architectures that Load knows, by their Hugging Face name, for messages and `--help`.
std::string ArchitectureNames();

}  // namespace fourstep
