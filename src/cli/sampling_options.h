// The flags that say how tokens are chosen. One definition for every command that makes answers.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "fourstep/engine.h"

namespace fourstep::cli {

struct SamplingOptions {
  Sampling sampling;
  int32_t max_tokens = 0;  // of an answer; 0: as far as the context reaches

  void Set(Request& request) const;
};

// `options` must live as long as `command`.
void AddSamplingOptions(CLI::App& command, SamplingOptions& options);

// Seeds of many answers from one seed: not of overlapping sequences, as seed + index would be.
uint64_t SeedOfIndex(uint64_t seed, uint64_t index);

}  // namespace fourstep::cli
