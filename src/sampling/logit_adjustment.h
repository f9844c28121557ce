// What penalties, biases and a token automaton make of a logit: one definition for host and device, in fp32
// and never contracted, so that both draw the same token.
//
// - repetition penalty, of a token that the prompt or the answer has: x / penalty where x > 0, else x *
// penalty
// - presence and frequency, of a token that the answer has `count` times: x - presence - frequency * count
// - bias: x + bias; -infinity where it is kBan
// - the automaton: -infinity where it forbids the token
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "backend/sampling_request.h"
#include "base/host_device.h"

namespace fourstep {

// Of one token in one answer: how often the answer has it, and what else there is to know.
using TokenNote = uint32_t;
inline constexpr TokenNote kIsInPrompt = 1u << 31, kIsBiased = 1u << 30, kNoteCount = kIsBiased - 1;

// The adjustments of one answer, in memory of whoever computes.
struct AdjustmentView {
  TokenNote* notes;             // [num_drawable]; null: neither penalties nor biases
  const TokenBias* biases;      // [num_biases], ascending tokens
  const uint16_t* token_class;  // [num_tokens]; null: no automaton
  const int32_t* next_state;    // [num_states, num_classes]
  int32_t num_biases, num_tokens, num_classes;
  int32_t state;  // of the automaton
};

FOURSTEP_HD float PenalisedLogit(float logit, TokenNote note, const SamplingParams& params) {
  const TokenNote count = note & kNoteCount;
  float x = logit;
  if (count > 0 || (note & kIsInPrompt) != 0)
    x = x > 0 ? x / params.repetition_penalty : x * params.repetition_penalty;
  if (count > 0) {
    x -= params.presence_penalty;
    x -= params.frequency_penalty * static_cast<float>(count);
  }
  return x;
}

// Of a token that has one.
FOURSTEP_HD float BiasOf(const AdjustmentView& view, int32_t token) {
  int32_t first = 0, last = view.num_biases - 1;
  while (first < last) {
    const int32_t middle = (first + last) / 2;
    if (view.biases[middle].token < token) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return view.biases[first].bias;
}

// -1: the token is forbidden.
FOURSTEP_HD int32_t NextState(const AdjustmentView& view, int32_t token) {
  if (token >= view.num_tokens) return -1;
  return view.next_state[int64_t{view.state} * view.num_classes + view.token_class[token]];
}

// Of a drawable token; `logit` is no NaN. Never +infinity.
FOURSTEP_HD float AdjustedLogit(float logit, int32_t token, const SamplingParams& params,
                                const AdjustmentView& view) {
  float x = logit;
  if (view.notes != nullptr && view.notes[token] != 0) {
    const TokenNote note = view.notes[token];
    x = PenalisedLogit(x, note, params);
    if ((note & kIsBiased) != 0) {
      const float bias = BiasOf(view, token);
      x = bias > kBan ? x + bias : -INFINITY;
    }
    x = x < FLT_MAX ? x : FLT_MAX;
  }
  if (view.token_class != nullptr && NextState(view, token) < 0) x = -INFINITY;
  return x;
}

// The answer has `token`, which was drawn.
FOURSTEP_HD void NoteDrawn(AdjustmentView& view, int32_t token) {
  if (view.notes != nullptr && (view.notes[token] & kNoteCount) < kNoteCount) ++view.notes[token];
  if (view.token_class != nullptr) view.state = NextState(view, token);
}

}  // namespace fourstep
