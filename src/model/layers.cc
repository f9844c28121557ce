#include "model/layers.h"

#include <algorithm>

#include "backend/linear_stack.h"
#include "base/error.h"
#include "checkpoint/module_names.h"

namespace fourstep {

LinearStack ReadStack(Checkpoint& checkpoint, std::initializer_list<StackMember> members, int64_t k,
                      bool has_bias) {
  LinearStack stack;
  for (const StackMember& member : members) {
    LinearWeight w = checkpoint.Linear(member.module, member.n, k);
    if (w.bias.empty() == has_bias) {
      throw Errorf(checkpoint.folder().string() + ": " + member.module + ".bias", "tensor is {}",
                   has_bias ? std::string("missing") : "not used by " + checkpoint.config().architecture);
    }
    stack.push_back(std::move(w));
  }
  return stack;
}

Numerics ChooseNumerics(std::span<const LinearStack* const> stacks, std::optional<Numerics> wanted,
                        const std::string& where) {
  bool has_four_bit = false, allows_w4a4 = true;
  for (const LinearStack* stack : stacks) {
    for (const LinearWeight& w : *stack) {
      if (!IsFourBit(w.format)) continue;
      has_four_bit = true;
      allows_w4a4 = allows_w4a4 && w.format == WeightFormat::kNvFp4 && w.input_scale.has_value();
    }
  }
  if (!has_four_bit) {
    if (wanted && *wanted != Numerics::kBf16)
      throw Errorf(where, "has no 4-bit weights, as {} needs: expected bf16", NumericsName(*wanted));
    return Numerics::kBf16;
  }
  return wanted.value_or(allows_w4a4 ? Numerics::kW4A4 : Numerics::kW4A16);
}

BoundLinear Binder::Linear(const LinearStack& stack) {
  const auto is_four_bit = [](const LinearWeight& w) { return IsFourBit(w.format); };
  const auto four_bit = std::find_if(stack.begin(), stack.end(), is_four_bit);
  if (four_bit == stack.end() || numerics_ == Numerics::kBf16) return Add(stack, Numerics::kBf16);
  const auto dense = std::find_if_not(stack.begin(), stack.end(), is_four_bit);
  if (dense != stack.end()) {
    throw Errorf(dense->name,
                 "is dense, but {}, with which it shares its input, has 4 bits: expected both alike",
                 four_bit->name);
  }
  return Add(stack, numerics_);
}

BoundLinear Binder::Add(const LinearStack& stack, Numerics numerics) {
  BoundLinear bound{.id = backend_.AddLinear(stack, numerics), .modules = {}};
  for (const LinearWeight& w : stack) {
    bound.modules.push_back(w.name);
    num_parameters_ += w.n * w.k + static_cast<int64_t>(w.bias.size());
    weight_bytes_ += WeightBytes(w, numerics);
  }
  return bound;
}

VectorId Binder::Vector(std::span<const float> values) {
  num_parameters_ += static_cast<int64_t>(values.size());
  weight_bytes_ += 4 * static_cast<int64_t>(values.size());
  return backend_.AddVector(values);
}

EmbeddingId Binder::Embedding(const LinearWeight& table) {
  num_parameters_ += table.n * table.k;
  weight_bytes_ += 2 * table.k;
  return backend_.AddEmbedding(table);
}

BoundLinear Binder::TiedHead(const LinearWeight& table) {
  BoundLinear head = Add({table}, Numerics::kBf16);
  head.modules = {kHeadModule};
  num_parameters_ -= table.n * table.k;
  return head;
}

}  // namespace fourstep
