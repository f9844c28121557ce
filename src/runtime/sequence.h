// Sequence: a prompt and its answer as the scheduler sees them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/sampling_request.h"
#include "runtime/kv_cache.h"

namespace fourstep {

struct Sequence {
  int64_t id = 0;
  SamplingRequest sampling = {};
  std::vector<int32_t> tokens = {};  // the prompt, then what was drawn, as far as the host has read it
  int32_t num_prompt = 0;            // >= 1
  int32_t max_length = 0;            // of prompt and answer; > num_prompt

  // The scheduler's:
  int32_t slot = -1;         // kept from the first step to the end, because the sampler's state lives there
  int32_t num_computed = 0;  // positions whose K/V are in the cache, or will be after the steps under way
  int32_t num_unread = 0;    // tokens drawn, or being drawn, that the host has not read
  int32_t num_reused = 0;    // tokens of the prompt that were found in the cache
  KvCache::Chain chain = {};

  std::span<const int32_t> prompt() const { return std::span(tokens).first(static_cast<size_t>(num_prompt)); }
  int32_t num_known() const { return static_cast<int32_t>(tokens.size()); }
  int32_t length() const { return num_known() + num_unread; }
};

}  // namespace fourstep
