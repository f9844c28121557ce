// Compiled without contraction of multiplications and additions: the weights of tokens must be those that the
// host computes, bit for bit.
#include "cuda/sampling.h"

#include "base/philox.h"
#include "cuda/adjustments.h"
#include "cuda/launch.h"
#include "cuda/row_decision.cuh"
#include "cuda/token_bins.cuh"
#include "cuda/token_search.cuh"

namespace fourstep::cuda {
namespace {

// Block (part, draw).
__global__ __launch_bounds__(kStatThreads) void StatsKernel(SamplingView v) {
  LetNextBegin();
  WaitForPrevious();
  __shared__ double scratch_double[kWarpLanes];
  __shared__ float scratch_float[kWarpLanes];
  __shared__ uint64_t scratch_key[kWarpLanes];
  const float* logits = v.logits + int64_t{blockIdx.y} * v.vocab;
  const PartRange range = RangeOf(static_cast<int>(blockIdx.x), v.vocab);
  float max = -INFINITY;
  uint64_t best = ~uint64_t{0};  // rank of the best drawable token
  int is_invalid = 0;
  ForEachOfPart(range, logits, [&](int i, float x, bool exists) {
    if (!exists) return;
    if (!(x < INFINITY)) {
      is_invalid = 1;
      return;
    }
    max = fmaxf(max, x);
    if (i < v.num_drawable) best = min(best, RankKey(x, i));
  });
  max = BlockReduce(max, scratch_float, -INFINITY, Max{});
  best = ~BlockReduce(~best, scratch_key, uint64_t{0}, Max{});
  is_invalid = __syncthreads_or(is_invalid);
  double sum = 0, weighted_sum = 0;
  if (max > -INFINITY) {
    ForEachOfPart(range, logits, [&](int, float x, bool exists) {
      if (!exists) return;
      const float d = x - max;
      const float e = ExpNonPositive(d);
      sum += e;
      weighted_sum += e > 0 ? d * e : 0.0f;
    });
  }
  sum = BlockReduce(sum, scratch_double, 0.0, Add{});
  weighted_sum = BlockReduce(weighted_sum, scratch_double, 0.0, Add{});
  if (threadIdx.x != 0) return;
  const bool has_drawable = best != ~uint64_t{0};
  const auto argmax = static_cast<int32_t>(best & 0xFFFFFFFFu);
  v.stats[blockIdx.y * kStatParts + blockIdx.x] = {.max = max,
                                                   .drawable_max = has_drawable ? logits[argmax] : -INFINITY,
                                                   .drawable_argmax = has_drawable ? argmax : -1,
                                                   .is_invalid = is_invalid,
                                                   .sum = sum,
                                                   .weighted_sum = weighted_sum};
}

// Block (part, draw): the mass of the part at the row's temperature, that of its bins, and its likely tokens
// to the list.
__global__ __launch_bounds__(kStatThreads) void WeighKernel(SamplingView v, StepView step) {
  LetNextBegin();
  WaitForPrevious();
  __shared__ uint64_t scratch[kWarpLanes];
  __shared__ RowDecision row;
  __shared__ BinSums bins;
  __shared__ ListedToken listed[kListCapacity];
  __shared__ int num_listed, first_place;
  const int draw = static_cast<int>(blockIdx.y);
  const SlotState& slot = v.slots[step.slots[step.draw_rows[draw]]];
  if (threadIdx.x < kWarpLanes) {
    const RowDecision mine = Decide(v, draw, slot);
    if (threadIdx.x == 0) {
      row = mine;
      num_listed = 0;
      if (blockIdx.x == 0) v.decisions[draw] = mine;
    }
  }
  bins.Clear();
  __syncthreads();
  if (!row.is_valid || IsGreedy(row)) return;
  const float* logits = v.drawn_logits + int64_t{draw} * v.vocab;
  const PartRange range = RangeOf(static_cast<int>(blockIdx.x), min(v.vocab, v.num_drawable));
  uint64_t mass = 0;
  ForEachOfPart(range, logits, [&](int i, float x, bool exists) {
    const float y = (x - row.max) / row.policy.temperature;
    const uint64_t weight = exists ? WeightOf(y) : 0;
    mass += weight;
    const bool is_listed = exists && y >= kListFloor;
    const unsigned lanes = __ballot_sync(kAllLanes, is_listed);
    if (lanes == 0) return;
    int place = 0;
    if (LaneIndex() == 0) place = atomicAdd(&num_listed, __popc(lanes));
    place = __shfl_sync(kAllLanes, place, 0) + __popc(lanes & ((1u << LaneIndex()) - 1));
    if (!is_listed) return;
    bins.Add(BinOf(y), weight);
    if (place < kListCapacity) listed[place] = {x, i};
  });
  mass = BlockReduce(mass, scratch, uint64_t{0}, Add{});  // the block meets in it
  const int part = draw * kStatParts + static_cast<int>(blockIdx.x);
  if (threadIdx.x == 0) {
    v.part_mass[part] = mass;
    first_place = atomicAdd(v.list_count + draw, num_listed);  // not token by token: 700 ns each
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < min(num_listed, kListCapacity - first_place);
       i += kStatThreads)
    v.list[int64_t{draw} * kListCapacity + first_place + i] = listed[i];
  for (int bin = static_cast<int>(threadIdx.x); bin < kMassBins; bin += kStatThreads)
    v.part_bins[part * kMassBins + bin] = bins.Sum(bin);
}

// top-k, then top-p of what is left, then min-p; then the inverse of the distribution in the order of ids.
// `listed` tokens of the row are in its list; `mass_of_part`: of part LaneIndex().
__device__ int PickToken(const SamplingView& v, int draw, const SlotState& slot, const RowDecision& row,
                         int listed, uint64_t mass_of_part) {
  __shared__ uint64_t scratch[kWarpLanes];
  const SamplingParams& params = slot.params;
  const auto by_rank = [](float logit, int token) { return RankKey(logit, token); };
  const auto by_id = [](float, int token) { return static_cast<uint64_t>(token); };
  const uint64_t total = WarpReduce(mass_of_part, Add{});
  const bool has_top_p = params.top_p < 1;
  uint64_t wanted_mass = kNoLimit, wanted_tokens = kNoLimit;
  if (params.top_k > 0) {
    wanted_tokens = static_cast<uint64_t>(params.top_k);
  } else if (has_top_p) {
    wanted_mass = ScaledMass(params.top_p, total);
  }
  // Models are mostly sure: the best token alone is then all that is left.
  if (wanted_tokens == 1 || wanted_mass <= kFullWeight) return row.argmax;

  const Philox4 bits = Philox(params.seed, static_cast<uint64_t>(slot.output_position), kDrawPurpose);
  const uint64_t random = uint64_t{bits.v[0]} << 32 | bits.v[1];
  if (params.top_k <= 0 && params.min_p <= 0 && v.vocab <= BinSums::kMostTokens) {
    __shared__ BinnedDraw binned;
    const WeighedRow weighed{.logits = v.drawn_logits + int64_t{draw} * v.vocab,
                             .list = v.list + int64_t{draw} * kListCapacity,
                             .bins = v.part_bins + int64_t{draw} * kStatParts * kMassBins,
                             .mass = v.part_mass + draw * kStatParts,
                             .vocab = min(v.vocab, v.num_drawable),
                             .listed = listed,
                             .max = row.max,
                             .temperature = row.policy.temperature};
    const int token = DrawBinned(weighed, wanted_mass, random, binned, scratch);
    if (token >= 0) return token;
  }
  Choice choice{.logits = nullptr,
                .list = v.list + int64_t{draw} * kListCapacity,
                .count = listed,
                .max = row.max,
                .temperature = row.policy.temperature,
                .last_key = ~uint64_t{0},
                .min_weight = 0};
  const auto mass_of = [&] {
    uint64_t mass = 0;
    choice.ForEach([&](float, int, uint64_t weight) { mass += weight; });
    return BlockReduce(mass, scratch, uint64_t{0}, Add{});
  };
  const bool is_listed =
      listed <= kListCapacity && (static_cast<uint64_t>(listed) >= wanted_tokens || mass_of() >= wanted_mass);
  if (!is_listed) {
    choice.logits = v.drawn_logits + int64_t{draw} * v.vocab;
    choice.count = min(v.vocab, v.num_drawable);
  }
  if (params.top_k > 0 || has_top_p) {
    Selected kept = Select(choice, by_rank, 56, wanted_tokens, wanted_mass);
    if (params.top_k > 0 && has_top_p)
      kept = Select(choice, by_rank, 56, kNoLimit, ScaledMass(params.top_p, kept.mass));
    choice.last_key = kept.key;
  }
  if (params.min_p > 0) choice.min_weight = ScaledMass(params.min_p, kFullWeight);
  const uint64_t mass = mass_of();
  const uint64_t rest = __umul64hi(random, mass);
  return static_cast<int>(Select(choice, by_id, 16, kNoLimit, rest + 1).key);
}

// One block a draw.
__global__ __launch_bounds__(kPickThreads) void PickKernel(SamplingView v, StepView step) {
  LetNextBegin();
  WaitForPrevious();
  const int draw = static_cast<int>(blockIdx.x), batch_row = step.draw_rows[draw],
            slot_index = step.slots[batch_row];
  SlotState& slot = v.slots[slot_index];
  __shared__ RowDecision row;
  if (threadIdx.x == 0) row = v.decisions[draw];
  const uint64_t base = *v.next_record, mass = v.part_mass[draw * kStatParts + LaneIndex()];
  const int listed = v.list_count[draw];
  __syncthreads();
  int token = -1;
  if (row.is_valid) token = IsGreedy(row) ? row.argmax : PickToken(v, draw, slot, row, listed, mass);
  __syncthreads();
  if (threadIdx.x != 0) return;

  TokenRecord record{};
  record.slot = slot_index;
  record.token = token;
  record.output_position = slot.output_position;
  record.step = slot.policy.step;
  if (row.is_valid) {
    record.temperature = IsGreedy(row) ? 0.0f : row.policy.temperature;
    record.entropy = row.entropy;
    record.step_entropy = row.policy.step_entropy;
    record.mean_entropy = row.policy.mean_entropy;
    record.threshold = row.policy.threshold;
    record.logprob = v.logits[int64_t{draw} * v.vocab + token] - row.log_sum_exp;
    const auto token_class =
        token < v.num_classes ? static_cast<TokenClass>(v.classes[token]) : TokenClass::kOther;
    Observe(slot.policy, slot.params.policy, row.entropy, token_class);
    ++slot.output_position;
  }
  v.last_tokens[slot_index] = token;
  step.tokens[batch_row] = -1;
  step.positions[batch_row] += 1;
  v.list_count[draw] = 0;

  v.ring[(base + static_cast<uint64_t>(draw)) % static_cast<uint64_t>(v.ring_capacity)] = record;
  __threadfence_system();
  if (gridDim.x > 1) {
    if (atomicAdd(v.num_done, 1) + 1 != static_cast<int>(gridDim.x)) return;
    *v.num_done = 0;
    __threadfence_system();
  }
  *v.next_record = base + gridDim.x;
  *reinterpret_cast<volatile uint64_t*>(v.num_written) = base + gridDim.x;
}

}  // namespace

void LaunchDraw(const SamplingView& view, const StepView& step, int32_t num_draws, const DrawExtras& extras,
                cudaStream_t stream) {
  const dim3 parts(kStatParts, static_cast<unsigned>(num_draws));
  Launch(StatsKernel, parts, dim3(kStatThreads), 0, stream, view);
  if (extras.adjusts) LaunchAdjust(view, step, num_draws, stream);
  if (extras.has_top) LaunchTopLogprobs(view, step, num_draws, stream);
  Launch(WeighKernel, parts, dim3(kStatThreads), 0, stream, view, step);
  Launch(PickKernel, dim3(static_cast<unsigned>(num_draws)), dim3(kPickThreads), 0, stream, view, step);
  if (extras.adjusts) LaunchNoteDrawn(view, step, num_draws, stream);
}

}  // namespace fourstep::cuda
