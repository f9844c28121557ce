// The draw by bins (cuda/token_bins.cuh), run by threads of the host, gives the tokens of the host's sampler.
#include "cuda/token_bins.cuh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/philox.h"
#include "sampling/sampler.h"

namespace fourstep::cuda {
namespace {

struct Weighed {
  std::vector<uint64_t> mass, bins;  // [kStatParts], [kStatParts, kMassBins]
  std::vector<ListedToken> list;     // [kListCapacity]
  int listed = 0;
  float max = 0;
};

// As WeighKernel leaves it; `num_drawable` of the logits.
Weighed Weigh(const std::vector<float>& logits, int num_drawable, float temperature, PhiloxStream& random) {
  Weighed w;
  w.list.resize(kListCapacity);
  w.max = *std::max_element(logits.begin(), logits.begin() + num_drawable);
  for (int part = 0; part < kStatParts; ++part) {
    BinSums sums{};
    uint64_t mass = 0;
    const PartRange range = RangeOf(part, num_drawable);
    for (int token = range.begin; token < range.end; ++token) {
      const float y = (logits[static_cast<size_t>(token)] - w.max) / temperature;
      mass += WeightOf(y);
      if (y < kListFloor) continue;
      sums.Add(BinOf(y), WeightOf(y));
      if (w.listed < kListCapacity)
        w.list[static_cast<size_t>(w.listed)] = {logits[static_cast<size_t>(token)], token};
      ++w.listed;
    }
    w.mass.push_back(mass);
    for (int bin = 0; bin < kMassBins; ++bin) w.bins.push_back(sums.Sum(bin));
  }
  for (int i = std::min(w.listed, kListCapacity) - 1; i > 0; --i)  // blocks list in no order
    std::swap(w.list[static_cast<size_t>(i)], w.list[static_cast<size_t>(random.Between(0, i))]);
  return w;
}

int Draw(const std::vector<float>& logits, int num_drawable, const Weighed& w, const SamplerSlot& slot) {
  const SamplingParams& params = slot.params;
  uint64_t total = 0;
  for (const uint64_t mass : w.mass) total += mass;
  const Philox4 bits = Philox(params.seed, static_cast<uint64_t>(slot.output_position), kDrawPurpose);
  const WeighedRow row{.logits = logits.data(),
                       .list = w.list.data(),
                       .bins = w.bins.data(),
                       .mass = w.mass.data(),
                       .vocab = num_drawable,
                       .listed = w.listed,
                       .max = w.max,
                       .temperature = params.policy.temperature};
  static BinnedDraw shared;
  static uint64_t scratch[kWarpLanes];
  std::memset(static_cast<void*>(&shared), 0xAB, sizeof shared);
  std::vector<int> tokens(kPickThreads);
  cuda_on_host::RunBlock(kPickThreads, [&] {
    tokens[threadIdx.x] = DrawBinned(row, params.top_p < 1 ? ScaledMass(params.top_p, total) : kNoLimit,
                                     uint64_t{bits.v[0]} << 32 | bits.v[1], shared, scratch);
  });
  for (const int token : tokens) EXPECT_EQ(token, tokens[0]);
  return tokens[0];
}

TEST(TokenBins, DrawTheTokensOfTheHostsSampler) {
  PhiloxStream random(5);
  int undecided = 0;
  for (int round = 0; round < 60; ++round) {
    const int vocab = round % 3 == 0 ? 17 + round : round % 3 == 1 ? 9001 : 30000, num_drawable = vocab - 3;
    const double spread = std::vector<double>{0.3, 1, 3, 8}[static_cast<size_t>(round % 4)];
    std::vector<float> logits(static_cast<size_t>(vocab));
    for (float& logit : logits) {
      const double normal = random.Uniform() + random.Uniform() + random.Uniform() + random.Uniform() - 2;
      logit = static_cast<float>((normal + (random.Chance(0.02) ? 4 * random.Uniform() : 0)) * spread);
      if (round % 5 == 4) logit = std::round(logit * 2) / 2;  // ties
    }
    SamplerSlot slot;
    slot.params.policy.kind = PolicyKind::kFixed;
    slot.params.policy.temperature = std::vector<float>{0.6f, 1.0f, 1.3f}[static_cast<size_t>(round / 3 % 3)];
    slot.params.top_k = 0;
    slot.params.top_p = std::vector<float>{0.95f, 0.5f, 1.0f, 0.8f}[static_cast<size_t>(round / 2 % 4)];
    slot.params.min_p = 0;
    slot.params.seed = static_cast<uint64_t>(round);
    slot.output_position = 7 * round;
    const Weighed w = Weigh(logits, num_drawable, slot.params.policy.temperature, random);
    const int token = Draw(logits, num_drawable, w, slot);
    const int expected = DrawToken(logits, slot, BoundaryTokens({}, {}, num_drawable)).token;
    if (token >= 0) {
      EXPECT_EQ(token, expected) << "round " << round;
    } else {
      ++undecided;
      EXPECT_TRUE(round % 5 == 4) << "round " << round << ": without ties bins decide";
    }
  }
  EXPECT_LT(undecided, 12);
}

}  // namespace
}  // namespace fourstep::cuda
