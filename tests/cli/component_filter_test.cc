// Which operations of a decoder's step belong to which component.
#include "cli/component_filter.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/published_shapes.h"
#include "model/random_decoder.h"

namespace fourstep::cli {
namespace {

// Writes down what it is asked for; linears are told apart by their ids.
class Recorder final : public Backend {
 public:
  explicit Recorder(std::vector<std::string>& calls) : calls_(calls) {}
  std::string name() const override { return "recorder"; }
  LinearId AddLinear(std::span<const LinearWeight>, Numerics) override { return {num_linears_++}; }
  VectorId AddVector(std::span<const float>) override { return {0}; }
  EmbeddingId AddEmbedding(const LinearWeight&) override { return {0}; }
  ActivationId AddActivation(int32_t) override { return {0}; }
  void AllocateKvCache(const KvCacheShape&, const RopeTable&) override {}
  int32_t max_rows() const override { return 1; }
  void BeginStep(const Batch&) override {}
  void EndStep() override {}
  void Embed(ActivationId, EmbeddingId) override { calls_.push_back("embed"); }
  void Norm(ActivationId, ActivationId, VectorId, float, LinearId) override { calls_.push_back("norm"); }
  void Linear(ActivationId, ActivationId, LinearId linear) override { Add("linear", linear); }
  void LinearResidual(ActivationId, ActivationId, LinearId linear) override { Add("residual", linear); }
  void GatedLinear(ActivationId, ActivationId, LinearId linear, LinearId) override { Add("gated", linear); }
  void RotateAndAppend(ActivationId, int32_t, VectorId, VectorId, float) override {
    calls_.push_back("rotate");
  }
  void Attention(ActivationId, ActivationId, int32_t, LinearId) override { calls_.push_back("attention"); }
  void Head(ActivationId, VectorId, float, LinearId) override { calls_.push_back("head"); }
  void Draw() override { calls_.push_back("draw"); }
  void SetSlot(int32_t, const SamplingRequest&, std::span<const int32_t>) override {}
  void SetBoundaryTokens(std::span<const int32_t>, std::span<const int32_t>, int32_t) override {}
  std::vector<DrawResult> ReadRecords(bool) override { return {}; }
  std::vector<float> ReadLogits() override { return {}; }
  std::vector<float> ReadActivation(ActivationId) override { return {}; }

 private:
  // Every layer has four, in the order qkv, o, gate | up, down.
  void Add(const char* kind, LinearId linear) { calls_.push_back(fmt::format("{} {}", kind, linear.id % 4)); }

  std::vector<std::string>& calls_;
  int32_t num_linears_ = 0;
};

TEST(ComponentFilter, EveryOperationIsOfOneComponent) {
  std::vector<std::string> calls;
  ComponentFilter filter(std::make_unique<Recorder>(calls));
  const HfConfig shape = PublishedShape("abacus");
  const auto model = MakeRandomDecoder(
      shape, filter, {.numerics = Numerics::kW4A4, .max_slots = 1, .block_tokens = 16, .num_cache_blocks = 1},
      WeightFormat::kBf16);
  model->Forward();
  const std::vector<std::string> all = calls;
  const auto layers = static_cast<size_t>(shape.num_layers);
  ASSERT_EQ(all.size(), 2 + 8 * layers);

  const std::map<Component, std::vector<std::string>> expected = {
      {Component::kQkv, {"linear 0"}},    {Component::kAttention, {"rotate", "attention"}},
      {Component::kO, {"residual 1"}},    {Component::kGateUp, {"gated 2"}},
      {Component::kDown, {"residual 3"}},
  };
  size_t num_calls = 0;
  for (const auto& [component, name] : kComponents) {
    calls.clear();
    filter.Pass(component);
    model->Forward();
    num_calls += calls.size();
    SCOPED_TRACE(name);
    if (component == Component::kHead) {
      EXPECT_THAT(calls, testing::ElementsAre("head"));
    } else if (component == Component::kNorms) {
      EXPECT_EQ(calls.size(), 1 + 2 * layers);
      EXPECT_EQ(calls[0], "embed");
    } else {
      const std::vector<std::string>& kinds = expected.at(component);
      ASSERT_EQ(calls.size(), kinds.size() * layers);
      for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i], kinds[i % kinds.size()]);
    }
  }
  EXPECT_EQ(num_calls, all.size());
  calls.clear();
  filter.Pass({});
  model->Forward();
  EXPECT_EQ(calls, all);
}

}  // namespace
}  // namespace fourstep::cli
