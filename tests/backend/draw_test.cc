// Drawing on every backend gives the tokens that the host's sampler draws from the same logits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "contestants.h"
#include "random_model.h"
#include "sampling/sampler.h"

namespace fourstep {
namespace {

constexpr int32_t kHidden = 32, kSlots = 8;

// Rows of an embedding go straight to the head.
struct HeadModel {
  HeadModel(Backend& b, int32_t vocab, float peak) : backend(b) {
    const RandomWeight table(kRows, kHidden, {.format = WeightFormat::kBf16, .scale = 1}, 1);
    const RandomWeight weights(vocab, kHidden,
                               {.format = WeightFormat::kBf16, .scale = peak / std::sqrt(32.0f)}, 2);
    embedding = b.AddEmbedding(table.view());
    const LinearWeight view = weights.view();
    head = b.AddLinear({&view, 1}, Numerics::kBf16);
    norm = b.AddVector(std::vector<float>(kHidden, 1.0f));
    x = b.AddActivation(kHidden);
  }
  // One row a slot, of tokens that differ from step to step.
  void Step(int32_t step) {
    BatchRows rows;
    for (int32_t slot = 0; slot < kSlots; ++slot) rows.Add(slot, step, (step * kSlots + slot) % kRows, true);
    rows.SetTables(kSlots, 1);
    const Batch batch = rows.view();
    backend.BeginStep(batch);
    backend.Embed(x, embedding);
    backend.Head(x, norm, 1e-6f, head);
    backend.Draw();
    backend.EndStep();
  }
  static constexpr int32_t kRows = 500;
  Backend& backend;
  EmbeddingId embedding;
  LinearId head;
  VectorId norm;
  ActivationId x;
};

// A policy and filters for each slot, so that every kind stands beside every other.
std::vector<SamplingParams> AllParams() {
  std::vector<SamplingParams> all(kSlots);
  for (size_t i = 0; i < all.size(); ++i) all[i].seed = 100 + i;
  all[0].policy.kind = PolicyKind::kGreedy;
  all[1].policy.temperature = 1.0f;
  all[1].top_p = 1.0f;
  all[2].policy.kind = PolicyKind::kReset;
  all[2].policy.window = 4;
  all[3].top_k = 3;
  all[3].top_p = 0.8f;
  all[4].top_k = 50;
  all[4].top_p = 1.0f;
  all[4].min_p = 0.05f;
  all[5].policy.temperature = 3.0f;
  all[5].min_p = 0.2f;
  all[6].policy.kind = PolicyKind::kDynatemp;
  all[7].policy.kind = PolicyKind::kReset;
  all[7].policy.estimator = StepEstimator::kEmaFromWindow;
  all[7].top_p = 0.5f;
  return all;
}

void ExpectNear(float got, float expected, const char* what) {
  EXPECT_NEAR(got, expected, 2e-5 * std::max(1.0f, std::fabs(expected))) << what;
}

TEST(Draw, GivesTheTokensOfTheHostsSampler) {
  constexpr int32_t kSteps = 60;
  const std::vector<int32_t> blank = {3, 40, 77, 199}, newline = {5, 6, 41, 120};
  for (const int32_t vocab : {17, 1000, 9001}) {
    for (const float peak : {0.5f, 3.0f, 12.0f}) {
      const int32_t num_drawable = vocab - 3;
      for (const Contestant& contestant : Contestants()) {
        SCOPED_TRACE(fmt::format("{}, vocabulary {}, peak {}", contestant.name, vocab, peak));
        const auto backend = contestant.make(2);
        HeadModel model(*backend, vocab, peak);
        backend->SetBoundaryTokens(blank, newline, num_drawable);
        const BoundaryTokens boundary(blank, newline, num_drawable);
        const std::vector<SamplingParams> params = AllParams();
        std::vector<SamplerSlot> slots(kSlots);
        for (int32_t slot = 0; slot < kSlots; ++slot) {
          backend->SetSlot(slot, params[static_cast<size_t>(slot)]);
          slots[static_cast<size_t>(slot)].params = params[static_cast<size_t>(slot)];
        }
        for (int32_t step = 0; step < kSteps; ++step) {
          model.Step(step);
          const std::vector<float> logits = backend->ReadLogits();
          const std::vector<TokenRecord> records = backend->ReadRecords(true);
          ASSERT_EQ(records.size(), static_cast<size_t>(kSlots));
          for (const TokenRecord& got : records) {
            const std::span row(logits.data() + got.slot * vocab, static_cast<size_t>(vocab));
            const TokenRecord expected = DrawToken(row, slots[static_cast<size_t>(got.slot)], boundary);
            ASSERT_EQ(got.token, expected.token) << "slot " << got.slot << " step " << step;
            EXPECT_EQ(got.output_position, expected.output_position);
            EXPECT_EQ(got.step, expected.step);
            ExpectNear(got.temperature, expected.temperature, "temperature");
            ExpectNear(got.entropy, expected.entropy, "entropy");
            ExpectNear(got.step_entropy, expected.step_entropy, "step entropy");
            ExpectNear(got.mean_entropy, expected.mean_entropy, "mean entropy");
            ExpectNear(got.threshold, expected.threshold, "threshold");
            ExpectNear(got.logprob, expected.logprob, "logprob");
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace fourstep
