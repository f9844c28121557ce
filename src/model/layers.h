// The parts that architectures are bound from: stacks of linears that share their input, and the numerics
// that each runs in. A checkpoint is read whole before the backend gets anything, because the default
// numerics depend on all of its linears.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"

namespace fourstep {

using LinearStack = std::vector<LinearWeight>;

struct StackMember {
  std::string module;
  int64_t n = 0;  // outputs
};

// The linears `members` of `k` inputs each. Throws Error where one has a bias and has_bias is false, or the
// other way round.
LinearStack ReadStack(Checkpoint& checkpoint, std::initializer_list<StackMember> members, int64_t k,
                      bool has_bias);

// What the 4-bit linears of a model run in: `wanted`, or the best that all of them allow; kBf16 where there
// are none. Throws Error where `wanted` needs 4-bit linears and there are none.
Numerics ChooseNumerics(std::span<const LinearStack* const> stacks, std::optional<Numerics> wanted,
                        const std::string& where);

// A stack of a backend, with the names that an observer gets.
struct BoundLinear {
  LinearId id;
  std::vector<std::string> modules;
};

// Gives weights to a backend and counts them.
class Binder {
 public:
  Binder(Backend& backend, Numerics numerics) : backend_(backend), numerics_(numerics) {}

  // 4-bit stacks run in the model's numerics, dense ones, FP8 among them, in BF16. Throws Error where a stack
  // mixes the two.
  BoundLinear Linear(const LinearStack& stack);
  VectorId Vector(std::span<const float> values);
  EmbeddingId Embedding(const LinearWeight& table);
  // The head of a model with tied embeddings: `table` again, which is no further parameter.
  BoundLinear TiedHead(const LinearWeight& table);

  int64_t num_parameters() const { return num_parameters_; }
  // Of the form that backends keep: fp32 vectors, BF16, FP8 or 4-bit linears, one row of the embedding.
  int64_t weight_bytes_per_token() const { return weight_bytes_; }

 private:
  BoundLinear Add(const LinearStack& stack, Numerics numerics);

  Backend& backend_;
  Numerics numerics_;
  int64_t num_parameters_ = 0, weight_bytes_ = 0;
};

}  // namespace fourstep
