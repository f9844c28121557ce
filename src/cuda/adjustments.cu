// Compiled without contraction of multiplications and additions, as sampling.cu.
#include "cuda/adjustments.h"

#include "cuda/launch.h"
#include "cuda/row_decision.cuh"

namespace fourstep::cuda {
namespace {

constexpr int kTopThreads = 256, kNoteThreads = 128;

__device__ int SlotOf(const StepView& step, int draw) {
  return step.slots[step.draw_rows[draw]];
}

// Block (part, draw). The statistics of the raw logits stay, but for what may be drawn.
__global__ __launch_bounds__(kStatThreads) void AdjustKernel(SamplingView v, StepView step) {
  LetNextBegin();
  WaitForPrevious();
  __shared__ uint64_t scratch[kWarpLanes];
  const int draw = static_cast<int>(blockIdx.y), slot = SlotOf(step, draw);
  const AdjustmentView adjustment = v.adjustments[slot];
  const SamplingParams& params = v.slots[slot].params;
  const float* logits = v.logits + int64_t{draw} * v.vocab;
  float* adjusted = v.adjusted + int64_t{draw} * v.vocab;
  const PartRange range = RangeOf(static_cast<int>(blockIdx.x), v.vocab);
  const int end = min(range.end, v.num_drawable);
  uint64_t best = ~uint64_t{0};
  for (int i = range.begin + static_cast<int>(threadIdx.x); i < end; i += kStatThreads) {
    const float x = AdjustedLogit(logits[i], i, params, adjustment);
    adjusted[i] = x;
    best = min(best, RankKey(x, i));
  }
  best = ~BlockReduce(~best, scratch, uint64_t{0}, Max{});  // the block meets in it
  if (threadIdx.x != 0 || best == ~uint64_t{0}) return;
  PartStats& stats = v.stats[draw * kStatParts + static_cast<int>(blockIdx.x)];
  const auto argmax = static_cast<int32_t>(best & 0xFFFFFFFFu);
  stats.drawable_argmax = argmax;
  stats.drawable_max = adjusted[argmax];
}

// Block (part, draw): the ranks of the part's most probable tokens, ascending; all ones where it has no more.
__global__ __launch_bounds__(kStatThreads) void TopOfPartsKernel(SamplingView v, StepView step) {
  LetNextBegin();
  WaitForPrevious();
  __shared__ uint64_t scratch[kWarpLanes];
  const int draw = static_cast<int>(blockIdx.y);
  const int wanted = v.slots[SlotOf(step, draw)].params.top_logprobs;
  const float* logits = v.logits + int64_t{draw} * v.vocab;
  const PartRange range = RangeOf(static_cast<int>(blockIdx.x), min(v.vocab, v.num_drawable));
  uint64_t* top = v.part_top + (draw * kStatParts + static_cast<int>(blockIdx.x)) * kMaxTopLogprobs;
  // The best of this thread's tokens that come after a rank; no number has rank 0.
  const auto best_after = [&](uint64_t rank) {
    uint64_t best = ~uint64_t{0};
    for (int i = range.begin + static_cast<int>(threadIdx.x); i < range.end; i += kStatThreads) {
      const uint64_t key = RankKey(logits[i], i);
      if (key > rank) best = min(best, key);
    }
    return best;
  };
  uint64_t mine = wanted > 0 ? best_after(0) : 0;
  for (int place = 0; place < wanted; ++place) {
    const uint64_t best = ~BlockReduce(~mine, scratch, uint64_t{0}, Max{});
    if (threadIdx.x == 0) top[place] = best;
    if (mine == best && best != ~uint64_t{0}) mine = best_after(best);
  }
}

// One block a draw.
__global__ void TopOfRowKernel(SamplingView v, StepView step) {
  LetNextBegin();
  WaitForPrevious();
  __shared__ uint64_t keys[kStatParts * kMaxTopLogprobs];
  __shared__ RowDecision row;
  const int draw = static_cast<int>(blockIdx.x);
  const SlotState& slot = v.slots[SlotOf(step, draw)];
  const int wanted = slot.params.top_logprobs, count = kStatParts * wanted;
  if (wanted == 0) return;
  if (threadIdx.x < kWarpLanes) {
    const RowDecision mine = Decide(v, draw, slot);
    if (threadIdx.x == 0) row = mine;
  }
  const uint64_t* part_top = v.part_top + draw * kStatParts * kMaxTopLogprobs;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kTopThreads)
    keys[i] = part_top[i / wanted * kMaxTopLogprobs + i % wanted];
  __syncthreads();
  const uint64_t record = *v.next_record + static_cast<uint64_t>(draw);
  TopTokens& top = v.top_ring[record % static_cast<uint64_t>(v.ring_capacity)];
  int num_kept = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count && row.is_valid; i += kTopThreads) {
    if (keys[i] == ~uint64_t{0}) continue;
    int place = 0;
    for (int j = 0; j < count && place < wanted; ++j) place += keys[j] < keys[i] ? 1 : 0;
    const auto token = static_cast<int32_t>(keys[i] & 0xFFFFFFFFu);
    const float logit = v.logits[int64_t{draw} * v.vocab + token];
    if (place >= wanted || !(logit > -INFINITY)) continue;
    top.tokens[place] = {token, logit - row.log_sum_exp};
    ++num_kept;
  }
  __shared__ int scratch[kWarpLanes];
  num_kept = BlockReduce(num_kept, scratch, 0, Add{});
  if (threadIdx.x == 0) {
    top.record = record;
    top.count = num_kept;
  }
  __threadfence_system();
}

__global__ void NoteDrawnKernel(SamplingView v, StepView step, int num_draws) {
  LetNextBegin();
  WaitForPrevious();
  const int draw = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (draw >= num_draws) return;
  const int slot = SlotOf(step, draw), token = v.last_tokens[slot];
  if (token >= 0) NoteDrawn(v.adjustments[slot], token);
}

dim3 Parts(int32_t num_draws) {
  return dim3(kStatParts, static_cast<unsigned>(num_draws));
}

}  // namespace

void LaunchAdjust(const SamplingView& view, const StepView& step, int32_t num_draws, cudaStream_t stream) {
  Launch(AdjustKernel, Parts(num_draws), dim3(kStatThreads), 0, stream, view, step);
}

void LaunchTopLogprobs(const SamplingView& view, const StepView& step, int32_t num_draws,
                       cudaStream_t stream) {
  Launch(TopOfPartsKernel, Parts(num_draws), dim3(kStatThreads), 0, stream, view, step);
  Launch(TopOfRowKernel, dim3(static_cast<unsigned>(num_draws)), dim3(kTopThreads), 0, stream, view, step);
}

void LaunchNoteDrawn(const SamplingView& view, const StepView& step, int32_t num_draws, cudaStream_t stream) {
  const auto num_blocks = static_cast<unsigned>((num_draws + kNoteThreads - 1) / kNoteThreads);
  Launch(NoteDrawnKernel, dim3(num_blocks), dim3(kNoteThreads), 0, stream, view, step, num_draws);
}

}  // namespace fourstep::cuda
