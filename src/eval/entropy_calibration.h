// tau_0 of ReSET, measured: a percentile of the token entropies of a model that answers a few problems.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "fourstep/engine.h"

namespace fourstep {

// The value below which `percentile` (0..100) per cent of `values` lie, interpolated linearly between
// neighbours as numpy does by default. `values` may not be empty.
double Percentile(std::vector<float> values, double percentile);

struct EntropyCalibrationOptions {
  double percentile = 80;                  // the published choice
  double temperature = 0.6, top_p = 0.95;  // of the answers: the published ones
  uint64_t seed = 0;
  int32_t max_tokens = 0;  // of an answer; 0: as far as the context reaches
};

struct EntropyCalibration {
  double tau_0 = 0;             // nats
  double mean_entropy = 0;      // nats
  std::vector<float> entropies;  // nats, ascending
  int64_t num_tokens = 0;
  int32_t num_answers = 0, num_cut = 0;  // cut: those that did not end by themselves
};

// Answers every problem (the user's turn) under a fixed temperature. `progress` (may be empty) is called with
// (finished, total). Throws Error where a problem cannot be served or fails, or where there is none.
EntropyCalibration CalibrateEntropy(Engine& engine, std::span<const std::string> problems,
                                    const EntropyCalibrationOptions& options,
                                    const std::function<void(size_t, size_t)>& progress);

}  // namespace fourstep
