// A decoder of a published shape with random weights whose sequences' caches are filled: what decode steps
// are timed on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/hf_config.h"
#include "cli/bench_row.h"
#include "cli/component_filter.h"
#include "cli/timing.h"
#include "model/model.h"

namespace fourstep::cli {

struct ShapeOptions {
  std::string shape, backend = "cpu", cpu_path;
  int32_t num_threads = 0;
  std::vector<std::string> numerics = {"w4a4", "bf16"};
  std::vector<int32_t> batches = {1, 8};
  std::string head = "bf16";      // of HeadFormatNames()
  std::string kv_cache = "bf16";  // or "fp8"
  int32_t context_tokens = 1024, tokens = 64, repeats = 5;
};

// Of a benchmark of steps and what it prints.
struct StepBenchOptions {
  ShapeOptions shape;
  bool json = false;
  std::string csv_path;
};

// Steps of a batch that were timed together.
struct StepTiming {
  double step_us = 0;           // mean
  std::vector<int32_t> tokens;  // that the first sequence drew
};

// The columns that every result of timed steps begins with: what was timed, and how long a step took.
BenchRow StepColumns(const ShapeOptions& options, const std::string& numerics, const std::string& policy,
                     int32_t batch, const Spread& step_us);

class ShapeDecoder {
 public:
  // In one numerics, with caches of options.context_tokens for the largest of the batches.
  ShapeDecoder(const ShapeOptions& options, const std::string& numerics);

  std::string backend_name() const { return backend_->name(); }
  double prefill_tokens_per_s() const { return prefill_tokens_per_s_; }
  // Read by the mean of the timed steps: weights and cache.
  double bytes_per_step(int32_t batch) const;
  // Of those, what a component reads of weights and cache.
  double bytes_of(Component component, int32_t batch) const;

  // options.tokens steps of `batch` new answers, which begin at the end of the context. The same work, and
  // the same tokens, at every call.
  StepTiming TimePolicy(int32_t batch, const std::string& policy);
  // The same without the draw: forward pass and head, at the position that TimePolicy's steps have on
  // average. Or one of its components alone.
  StepTiming TimeForward(int32_t batch, std::optional<Component> only = {});

 private:
  void RunStep(const std::vector<int32_t>& tokens, const std::vector<int32_t>& positions,
               const std::vector<int32_t>& slots, const std::vector<int32_t>& draw_rows, bool draws);
  void Prefill(int32_t slot);

  double cache_bytes(int32_t batch) const;

  const HfConfig shape_;
  const int32_t context_tokens_, tokens_, prefill_rows_;
  int32_t blocks_each_;
  std::vector<int32_t> tables_;
  std::unique_ptr<ComponentFilter> backend_;
  std::unique_ptr<Model> model_;
  double prefill_tokens_per_s_ = 0;
};

}  // namespace fourstep::cli
