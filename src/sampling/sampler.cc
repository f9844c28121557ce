#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/philox.h"
#include "sampling/exp_float.h"
#include "sampling/token_weight.h"

namespace fourstep {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 4;
constexpr size_t kBlockTokens = 1024;          // summed in lanes of 32 bits; blocks are added in 64
constexpr size_t kMaxVocab = size_t{1} << 22;  // weights of 2^40 each must sum below 2^63

// Calls visit(four, index of the first) for all of `logits`, -infinity after the end.
template <class Visit>
void ForEachFour(std::span<const float> logits, const Visit& visit) {
  Float4 four;
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    std::memcpy(&four, logits.data() + i, sizeof four);
    visit(four, i);
  }
  if (i == logits.size()) return;
  four = Float4{} - kInfinity;
  std::memcpy(&four, logits.data() + i, (logits.size() - i) * sizeof(float));
  visit(four, i);
}

template <class Lanes>
double SumOfLanes(Lanes lanes) {
  return (static_cast<double>(lanes[0]) + lanes[1]) + (static_cast<double>(lanes[2]) + lanes[3]);
}

// The largest of [n] logits, -infinity for none; NaN where one of them is.
float MaxLogit(std::span<const float> logits) {
  Float4 max = Float4{} - kInfinity;
  Int4 has_nan = {};
  ForEachFour(logits, [&](Float4 x, size_t) {
    max = x > max ? x : max;
    has_nan |= x != x;
  });
  if ((has_nan[0] | has_nan[1] | has_nan[2] | has_nan[3]) != 0)
    return std::numeric_limits<float>::quiet_NaN();
  return std::max(std::max(max[0], max[1]), std::max(max[2], max[3]));
}

// The weight of e^y in units of 2^-40, rounded down, as two parts of 20 bits: both fit 32 bits, and the
// fraction of a float is a float, so that nothing is rounded on the way.
struct Weight4 {
  Int4 high, low;
};
Weight4 WeightsOf(Float4 y) {
  const Float4 scaled = ExpNonPositive(y) * 0x1p20f;
  const Int4 high = __builtin_convertvector(scaled, Int4);
  const Float4 fraction = (scaled - __builtin_convertvector(high, Float4)) * 0x1p20f;
  return {high, __builtin_convertvector(fraction, Int4)};
}

// What every draw of a row shares: `max` is the largest of `logits`, all of which are drawable.
struct Row {
  std::span<const float> logits;
  float max;
  float temperature;
  Float4 Exponents(Float4 x) const { return (x - max) / temperature; }
};

uint64_t TotalMass(const Row& row) {
  uint64_t mass = 0;
  for (size_t begin = 0; begin < row.logits.size(); begin += kBlockTokens) {
    Int4 high = {}, low = {};  // below 2^20 * 256 each
    ForEachFour(row.logits.subspan(begin, std::min(kBlockTokens, row.logits.size() - begin)),
                [&](Float4 x, size_t) {
                  const Weight4 weights = WeightsOf(row.Exponents(x));
                  high += weights.high;
                  low += weights.low;
                });
    for (size_t lane = 0; lane < kLanes; ++lane) {
      mass += (static_cast<uint64_t>(high[lane]) << 20) + static_cast<uint64_t>(low[lane]);
    }
  }
  return mass;
}

// The order of the filters: most probable first, then lowest id.
bool ComesBefore(const SamplingCandidate& a, const SamplingCandidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// How far a filter reads, in that order: to the first prefix of so many tokens or so much mass.
struct Reach {
  uint64_t tokens = std::numeric_limits<uint64_t>::max();
  uint64_t mass = std::numeric_limits<uint64_t>::max();
  bool IsMet(uint64_t other_tokens, uint64_t other_mass) const {
    return other_tokens >= tokens || other_mass >= mass;
  }
};

// Lists, by id, the tokens of weight > 0 whose exponent is at least `low`: a prefix in the order above,
// because the exponent never falls as logits grow. Returns their mass.
uint64_t Gather(const Row& row, float low, std::vector<SamplingCandidate>& candidates) {
  candidates.clear();
  uint64_t mass = 0;
  ForEachFour(row.logits, [&](Float4 x, size_t index) {
    const Float4 y = row.Exponents(x);
    const Int4 is_in = y >= Float4{} + low;
    if ((is_in[0] | is_in[1] | is_in[2] | is_in[3]) == 0) return;
    const Weight4 weights = WeightsOf(y);
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const uint64_t weight =
          (static_cast<uint64_t>(weights.high[lane]) << 20) + static_cast<uint64_t>(weights.low[lane]);
      if (is_in[lane] == 0 || weight == 0) continue;
      candidates.push_back({x[lane], static_cast<int32_t>(index + lane), weight});
      mass += weight;
    }
  });
  return mass;
}

// Lists enough candidates for `reach`, or all. Models are peaked: the first cut is mostly enough, so that the
// long tail is neither stored nor searched.
uint64_t GatherUntil(const Row& row, const Reach& reach, std::vector<SamplingCandidate>& candidates) {
  constexpr float kAll = -28;  // e^-28 < 2^-40: the weight is 0
  for (const float low : {-5.0f, -10.0f}) {
    const uint64_t mass = Gather(row, low, candidates);
    if (reach.IsMet(candidates.size(), mass)) return mass;
  }
  return Gather(row, kAll, candidates);
}

// The smallest prefix that meets `reach`, or all of `candidates` (at least one). Halves a copy until one is
// left, the last of the prefix: linear in their number.
struct Prefix {
  SamplingCandidate last;
  uint64_t mass = 0;
};
Prefix FindPrefix(std::span<const SamplingCandidate> candidates, const Reach& reach,
                  std::vector<SamplingCandidate>& scratch) {
  scratch.assign(candidates.begin(), candidates.end());
  std::span<SamplingCandidate> rest = scratch;
  uint64_t tokens_before = 0, mass_before = 0;
  while (rest.size() > 1) {
    const size_t half = rest.size() / 2;
    std::nth_element(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(half), rest.end(), ComesBefore);
    uint64_t half_mass = 0;
    for (const SamplingCandidate& candidate : rest.first(half)) half_mass += candidate.weight;
    if (reach.IsMet(tokens_before + half, mass_before + half_mass)) {
      rest = rest.first(half);
    } else {
      tokens_before += half;
      mass_before += half_mass;
      rest = rest.subspan(half);
    }
  }
  return {rest[0], mass_before + rest[0].weight};
}

// floor(random * mass / 2^64): in [0, mass).
uint64_t Below(uint64_t random, uint64_t mass) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random) * mass >> 64);
}

int32_t DrawCandidate(std::span<const SamplingCandidate> candidates, uint64_t seed, int32_t output_position) {
  uint64_t mass = 0;
  for (const SamplingCandidate& candidate : candidates) mass += candidate.weight;
  const Philox4 bits = Philox(seed, static_cast<uint64_t>(output_position), kDrawPurpose);
  uint64_t rest = Below(uint64_t{bits.v[0]} << 32 | bits.v[1], mass);
  for (const SamplingCandidate& candidate : candidates) {
    if (rest < candidate.weight) return candidate.token;
    rest -= candidate.weight;
  }
  FOURSTEP_CHECK(false, "no candidates");
  return -1;
}

}  // namespace

LogitStats ComputeLogitStats(std::span<const float> logits) {
  const float max = MaxLogit(logits);
  if (!(std::abs(max) < kInfinity)) return {};
  double sum = 0, weighted_sum = 0;  // of e^d and of d e^d, d = logit - max
  for (size_t begin = 0; begin < logits.size(); begin += kBlockTokens) {
    Float4 lanes = {}, weighted_lanes = {};
    ForEachFour(logits.subspan(begin, std::min(kBlockTokens, logits.size() - begin)), [&](Float4 x, size_t) {
      const Float4 d = x - max;
      const Float4 e = ExpNonPositive(d);
      lanes += e;
      weighted_lanes += (e > Float4{} ? d : Float4{}) * e;  // 0 where d is -infinity
    });
    sum += SumOfLanes(lanes);
    weighted_sum += SumOfLanes(weighted_lanes);
  }
  // H = -sum p ln p with ln p = d - ln Z.
  const double log_z = std::log(sum);
  const double entropy = std::max(0.0, log_z - weighted_sum / sum);
  return {true, max, static_cast<float>(max + log_z), static_cast<float>(entropy)};
}

void SelectCandidates(std::span<const float> logits, int32_t num_drawable, float temperature,
                      SamplerSlot& slot) {
  FOURSTEP_CHECK(logits.size() <= kMaxVocab && num_drawable > 0 && temperature > kGreedyTemperature);
  const auto drawable = logits.first(std::min(logits.size(), static_cast<size_t>(num_drawable)));
  const Row row{drawable, MaxLogit(drawable), temperature};
  const SamplingParams& params = slot.params;
  Reach reach;
  if (params.top_k > 0) reach.tokens = static_cast<uint64_t>(params.top_k);
  if (params.top_k <= 0 && params.top_p < 1) reach.mass = ScaledMass(params.top_p, TotalMass(row));
  GatherUntil(row, reach, slot.candidates);

  if (params.top_k > 0 || params.top_p < 1) {
    Prefix kept = FindPrefix(slot.candidates, reach, slot.scratch);
    if (params.top_k > 0 && params.top_p < 1) {
      kept = FindPrefix(slot.candidates, {.mass = ScaledMass(params.top_p, kept.mass)}, slot.scratch);
    }
    std::erase_if(slot.candidates, [&](const auto& candidate) { return ComesBefore(kept.last, candidate); });
  }
  if (params.min_p > 0) {
    const uint64_t min_weight = ScaledMass(params.min_p, kFullWeight);
    std::erase_if(slot.candidates, [&](const auto& candidate) { return candidate.weight < min_weight; });
  }
}

DrawResult DrawToken(std::span<const float> logits, SamplerSlot& slot,
                     const BoundaryTokens& boundary_tokens) {
  const SamplingParams& params = slot.params;
  DrawResult record;
  record.output_position = slot.output_position;
  record.step = slot.policy.step;
  const auto drawable =
      logits.first(std::min(logits.size(), static_cast<size_t>(std::max(0, boundary_tokens.num_drawable()))));
  const LogitStats stats = ComputeLogitStats(logits);
  if (!stats.valid || drawable.empty()) return record;
  const auto adjusted = slot.adjustments.empty() ? drawable : slot.adjustments.Apply(drawable, params);
  const float max =
      adjusted.data() == logits.data() && adjusted.size() == logits.size() ? stats.max : MaxLogit(adjusted);
  if (max == -kInfinity) return record;

  const PolicyDecision decision = ChooseTemperature(slot.policy, params.policy, stats.entropy,
                                                    std::log(static_cast<float>(logits.size())));
  if (decision.temperature <= kGreedyTemperature) {
    record.token = static_cast<int32_t>(std::find(adjusted.begin(), adjusted.end(), max) - adjusted.begin());
  } else {
    SelectCandidates(adjusted, boundary_tokens.num_drawable(), decision.temperature, slot);
    record.token = DrawCandidate(slot.candidates, params.seed, slot.output_position);
    record.temperature = decision.temperature;
  }
  record.entropy = stats.entropy;
  record.step_entropy = decision.step_entropy;
  record.mean_entropy = decision.mean_entropy;
  record.threshold = decision.threshold;
  record.logprob = logits[static_cast<size_t>(record.token)] - stats.log_sum_exp;
  if (params.top_logprobs > 0) record.top = TopLogprobs(drawable, stats.log_sum_exp, params.top_logprobs);
  Observe(slot.policy, params.policy, stats.entropy, boundary_tokens.ClassOf(record.token));
  if (!slot.adjustments.empty()) slot.adjustments.Observe(record.token);
  ++slot.output_position;
  return record;
}

}  // namespace fourstep
