// A backend that passes everything on to another: what wraps one overrides what it changes.
#pragma once

#include <memory>
#include <utility>

#include "backend/backend.h"

namespace fourstep {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> backend) : b_(std::move(backend)) {}

  std::string name() const override { return b_->name(); }
  LinearId AddLinear(std::span<const LinearWeight> weights, Numerics numerics) override {
    return b_->AddLinear(weights, numerics);
  }
  VectorId AddVector(std::span<const float> values) override { return b_->AddVector(values); }
  EmbeddingId AddEmbedding(const LinearWeight& table) override { return b_->AddEmbedding(table); }
  ActivationId AddActivation(int32_t width) override { return b_->AddActivation(width); }
  void AllocateKvCache(const KvCacheShape& shape, const RopeTable& rope) override {
    b_->AllocateKvCache(shape, rope);
  }
  int32_t max_rows() const override { return b_->max_rows(); }
  void BeginStep(const Batch& batch) override { b_->BeginStep(batch); }
  void EndStep() override { b_->EndStep(); }
  void Embed(ActivationId out, EmbeddingId table) override { b_->Embed(out, table); }
  void Norm(ActivationId out, ActivationId x, VectorId weight, float epsilon, LinearId consumer) override {
    b_->Norm(out, x, weight, epsilon, consumer);
  }
  void Linear(ActivationId out, ActivationId x, LinearId linear) override { b_->Linear(out, x, linear); }
  void LinearResidual(ActivationId residual, ActivationId x, LinearId linear) override {
    b_->LinearResidual(residual, x, linear);
  }
  void GatedLinear(ActivationId out, ActivationId x, LinearId gate_up, LinearId consumer) override {
    b_->GatedLinear(out, x, gate_up, consumer);
  }
  void RotateAndAppend(ActivationId qkv, int32_t layer, VectorId q_norm, VectorId k_norm,
                       float epsilon) override {
    b_->RotateAndAppend(qkv, layer, q_norm, k_norm, epsilon);
  }
  void Attention(ActivationId out, ActivationId qkv, int32_t layer, LinearId consumer) override {
    b_->Attention(out, qkv, layer, consumer);
  }
  void Head(ActivationId x, VectorId norm, float epsilon, LinearId head) override {
    b_->Head(x, norm, epsilon, head);
  }
  void Draw() override { b_->Draw(); }
  void SetSlot(int32_t slot, const SamplingRequest& request, std::span<const int32_t> prompt) override {
    b_->SetSlot(slot, request, prompt);
  }
  void SetBoundaryTokens(std::span<const int32_t> contains_blank_line, std::span<const int32_t> is_newline,
                         int32_t num_drawable) override {
    b_->SetBoundaryTokens(contains_blank_line, is_newline, num_drawable);
  }
  std::vector<DrawResult> ReadRecords(bool wait) override { return b_->ReadRecords(wait); }
  std::vector<float> ReadLogits() override { return b_->ReadLogits(); }
  std::vector<float> ReadActivation(ActivationId x) override { return b_->ReadActivation(x); }

 private:
  const std::unique_ptr<Backend> b_;
};

}  // namespace fourstep
