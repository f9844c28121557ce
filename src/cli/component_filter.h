// A backend that lets only one kind of a step's operations through: what each of them takes is timed so.
#pragma once

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "backend/forwarding_backend.h"
#include "backend/linear_stack.h"

namespace fourstep::cli {

// Of a decoder's step; attention with the rotation before it, norms with the embedding.
enum class Component { kNorms, kQkv, kAttention, kO, kGateUp, kDown, kHead };
struct NamedComponent {
  Component component;
  std::string_view name;
};
// In the order of the enumeration.
inline constexpr NamedComponent kComponents[] = {
    {Component::kNorms, "norms"}, {Component::kQkv, "qkv"},        {Component::kAttention, "attention"},
    {Component::kO, "o"},         {Component::kGateUp, "gate|up"}, {Component::kDown, "down"},
    {Component::kHead, "head"},
};

class ComponentFilter final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;

  // Of the steps from here on; none: everything. Where a component runs alone its inputs are what earlier
  // steps left, so that only its time means something.
  void Pass(std::optional<Component> only) { only_ = only; }
  // Weights that the component reads in a step, passed on or not, as the last step had it.
  int64_t weight_bytes(Component component) const { return weight_bytes_[static_cast<size_t>(component)]; }

  LinearId AddLinear(std::span<const LinearWeight> weights, Numerics numerics) override {
    const LinearId linear = ForwardingBackend::AddLinear(weights, numerics);
    for (const LinearWeight& w : weights) linear_bytes_[linear.id] += WeightBytes(w, numerics);
    return linear;
  }
  void BeginStep(const Batch& batch) override {
    weight_bytes_.fill(0);
    ForwardingBackend::BeginStep(batch);
  }

  void Embed(ActivationId out, EmbeddingId table) override {
    if (Passes(Component::kNorms)) ForwardingBackend::Embed(out, table);
  }
  void Norm(ActivationId out, ActivationId x, VectorId weight, float epsilon, LinearId consumer) override {
    if (Passes(Component::kNorms)) ForwardingBackend::Norm(out, x, weight, epsilon, consumer);
  }
  void Linear(ActivationId out, ActivationId x, LinearId linear) override {
    if (Passes(Component::kQkv, linear)) ForwardingBackend::Linear(out, x, linear);
  }
  void LinearResidual(ActivationId residual, ActivationId x, LinearId linear) override {
    if (Passes(after_gate_ ? Component::kDown : Component::kO, linear))
      ForwardingBackend::LinearResidual(residual, x, linear);
  }
  void GatedLinear(ActivationId out, ActivationId x, LinearId gate_up, LinearId consumer) override {
    after_gate_ = true;
    if (Passes(Component::kGateUp, gate_up)) ForwardingBackend::GatedLinear(out, x, gate_up, consumer);
  }
  void RotateAndAppend(ActivationId qkv, int32_t layer, VectorId q_norm, VectorId k_norm,
                       float epsilon) override {
    if (Passes(Component::kAttention))
      ForwardingBackend::RotateAndAppend(qkv, layer, q_norm, k_norm, epsilon);
  }
  void Attention(ActivationId out, ActivationId qkv, int32_t layer, LinearId consumer) override {
    after_gate_ = false;
    if (Passes(Component::kAttention)) ForwardingBackend::Attention(out, qkv, layer, consumer);
  }
  void Head(ActivationId x, VectorId norm, float epsilon, LinearId head) override {
    if (Passes(Component::kHead, head)) ForwardingBackend::Head(x, norm, epsilon, head);
  }

 private:
  bool Passes(Component component, LinearId linear = {}) {
    if (linear.id >= 0) weight_bytes_[static_cast<size_t>(component)] += linear_bytes_[linear.id];
    return !only_ || *only_ == component;
  }

  std::optional<Component> only_;
  bool after_gate_ = false;  // the next residual is that of the FFN
  std::map<int32_t, int64_t> linear_bytes_;
  std::array<int64_t, std::size(kComponents)> weight_bytes_{};
};

}  // namespace fourstep::cli
