// From logits to the next token on the device: statistics, adjustments, policy, filters, draw
// (sampling/sampler.h has the definition; given the same logits and entropies the tokens are those of the
// host's sampler).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "backend/token_record.h"
#include "cuda/step_view.h"
#include "sampling/logit_adjustment.h"
#include "sampling/reset_policy.h"

namespace fourstep::cuda {

// The state of one slot's answer; all zero but params at its start.
struct SlotState {
  SamplingParams params;
  PolicyState policy;
  int32_t output_position;
};

inline constexpr int kStatParts = 32;       // blocks that share a row of logits
inline constexpr int kListCapacity = 4096;  // likely tokens of a row
inline constexpr int kMassBins = 128;       // of a part, by how likely its tokens are

// Of a part of a row.
struct PartStats {
  float max;           // of all logits of the part
  float drawable_max;  // of those that may be drawn
  int32_t drawable_argmax;
  int32_t is_invalid;        // holds NaN or +infinity
  double sum, weighted_sum;  // of e^d and d e^d, d = logit - max
};

// What the statistics of a row's parts say together, and what the policy says of it.
struct RowDecision {
  bool is_valid;
  float entropy, log_sum_exp;  // nats
  float max;                   // of the drawable tokens
  int32_t argmax;              // the lowest of them
  PolicyDecision policy;
};

struct ListedToken {
  float logit;
  int32_t token;
};

// The most probable tokens of a draw.
struct TopTokens {
  uint64_t record = 0;  // which record of those ever written it belongs to
  int32_t count = 0;
  TokenLogprob tokens[kMaxTopLogprobs] = {};
};

// Working memory of a step's draws and what is kept between steps, all on the device but the rings.
struct SamplingView {
  const float* logits;        // [num_draws, vocab]
  const float* drawn_logits;  // the same, or `adjusted` where the step adjusts any row
  float* adjusted;            // [max_draws, vocab], or null
  int32_t vocab, num_drawable;
  SlotState* slots;             // [max_slots]
  AdjustmentView* adjustments;  // [max_slots]
  int32_t* last_tokens;         // [max_slots]
  const uint8_t* classes;       // [num_classes] TokenClass by id
  int32_t num_classes;
  PartStats* stats;        // [max_draws, kStatParts]
  uint64_t* part_mass;     // [max_draws, kStatParts]
  uint64_t* part_bins;     // [max_draws, kStatParts, kMassBins]
  RowDecision* decisions;  // [max_draws]
  ListedToken* list;       // [max_draws, kListCapacity]
  int32_t* list_count;     // [max_draws], zero between steps
  uint64_t* part_top;      // [max_draws, kStatParts, kMaxTopLogprobs] RankKey, or null
  int32_t* num_done;       // one, zero between steps
  TokenRecord* ring;       // [ring_capacity], memory of the host
  TopTokens* top_ring;     // the same, or null
  uint64_t* num_written;   // one, memory of the host: records in the ring, ever
  uint64_t* next_record;   // one: the same, for the device
  int32_t ring_capacity;
};

// What any row of a step asks for beyond a plain draw. A step that asks for nothing launches nothing more.
struct DrawExtras {
  bool adjusts = false, has_top = false;
  friend bool operator==(const DrawExtras&, const DrawExtras&) = default;
};

// Draws of num_draws rows: draw d is of batch row step.draw_rows[d]. That row then holds kLastDrawnToken, one
// position on: what the next step mostly wants.
void LaunchDraw(const SamplingView& view, const StepView& step, int32_t num_draws, const DrawExtras& extras,
                cudaStream_t stream);

}  // namespace fourstep::cuda
