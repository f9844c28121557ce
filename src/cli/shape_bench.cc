#include "cli/shape_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "backend/backend.h"
#include "base/json.h"
#include "base/philox.h"
#include "cli/read_bandwidth.h"
#include "model/published_shapes.h"
#include "runtime/backends.h"
#include "sampling/params.h"

namespace fourstep::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int32_t kBlockTokens = 16, kPrefillRows = 256;
// Steps that the host may be ahead of what it has read, as the engine has it.
constexpr int32_t kMaxUnread = 4;

struct Result {
  std::string numerics, policy;
  int32_t batch = 0;
  double step_us = 0, step_us_best = 0, step_us_worst = 0;  // of the repeats' means: median, fastest, slowest
  double bytes = 0;                                         // read by a step: weights and cache
  std::vector<int32_t> tokens;                              // of the first sequence
};

// A model of one numerics with the caches of all its sequences filled.
class Contestant {
 public:
  Contestant(const ShapeBenchOptions& options, const HfConfig& shape, const std::string& numerics)
      : options_(options),
        shape_(shape),
        max_batch_(*std::max_element(options.batches.begin(), options.batches.end())),
        blocks_each_((options.context_tokens + options.tokens * (options.repeats + 1)) / kBlockTokens + 1) {
    backend_ = MakeBackend({.name = options.backend,
                            .cpu_path = options.cpu_path,
                            .num_threads = options.num_threads,
                            .max_rows = std::max(max_batch_, kPrefillRows)});
    model_ = MakeRandomDecoder(shape, *backend_,
                               {.numerics = ParseNumerics(numerics),
                                .max_slots = max_batch_,
                                .block_tokens = kBlockTokens,
                                .num_cache_blocks = blocks_each_ * max_batch_},
                               options.head == "nvfp4" ? HeadFormat::kNvFp4 : HeadFormat::kBf16);
    backend_->SetBoundaryTokens({}, {}, static_cast<int32_t>(shape.vocab_size));
    for (int32_t i = 0; i < blocks_each_ * max_batch_; ++i) tables_.push_back(i);
    const auto started = Clock::now();
    for (int32_t slot = 0; slot < max_batch_; ++slot) Prefill(slot);
    (void)backend_->ReadLogits();  // waits
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
    prefill_tokens_per_s_ = options.context_tokens * max_batch_ / seconds;
  }

  std::string backend_name() const { return backend_->name(); }
  double prefill_tokens_per_s() const { return prefill_tokens_per_s_; }

  Result Measure(int32_t batch, const std::string& policy) {
    SamplingParams params;
    params.policy.kind = ParsePolicyKind(policy, "--policy");
    for (int32_t slot = 0; slot < batch; ++slot) {
      params.seed = static_cast<uint64_t>(slot);
      backend_->SetSlot(slot, params);
    }
    Result result;
    result.policy = policy;
    result.batch = batch;
    int32_t position = options_.context_tokens;
    Steps(batch, position, result);  // warm: pages, graphs
    std::vector<double> means_us;
    for (int32_t repeat = 0; repeat < options_.repeats; ++repeat) {
      const auto started = Clock::now();
      Steps(batch, position, result);
      means_us.push_back(std::chrono::duration<double>(Clock::now() - started).count() * 1e6 /
                         options_.tokens);
    }
    std::sort(means_us.begin(), means_us.end());
    result.step_us = means_us[means_us.size() / 2];
    result.step_us_best = means_us.front();
    result.step_us_worst = means_us.back();
    const double cached = options_.context_tokens + options_.tokens * (options_.repeats + 1) / 2.0;
    result.bytes =
        static_cast<double>(model_->weight_bytes_per_token()) +
        cached * batch * 4.0 * static_cast<double>(shape_.num_layers * shape_.num_kv_heads * shape_.head_dim);
    return result;
  }

 private:
  void RunStep(const std::vector<int32_t>& tokens, const std::vector<int32_t>& positions,
               const std::vector<int32_t>& slots, const std::vector<int32_t>& draw_rows, bool draws) {
    const Batch batch{.tokens = tokens,
                      .positions = positions,
                      .slots = slots,
                      .draw_rows = draw_rows,
                      .block_tables = tables_,
                      .max_blocks = blocks_each_};
    backend_->BeginStep(batch);
    model_->Forward();
    if (draws) backend_->Draw();
    backend_->EndStep();
  }

  void Prefill(int32_t slot) {
    PhiloxStream random(7, static_cast<uint64_t>(slot));
    for (int32_t first = 0; first < options_.context_tokens; first += kPrefillRows) {
      std::vector<int32_t> tokens, positions, slots;
      for (int32_t t = first; t < std::min(options_.context_tokens, first + kPrefillRows); ++t) {
        tokens.push_back(static_cast<int32_t>(random.Below(static_cast<uint32_t>(shape_.vocab_size))));
        positions.push_back(t);
        slots.push_back(slot);
      }
      RunStep(tokens, positions, slots, {0}, false);
    }
  }

  // options.tokens steps of `batch` sequences, all read at the end.
  void Steps(int32_t batch, int32_t& position, Result& result) {
    std::vector<int32_t> slots, tokens(static_cast<size_t>(batch));
    for (int32_t slot = 0; slot < batch; ++slot) slots.push_back(slot);
    int64_t num_unread = 0;
    const auto read = [&](bool wait) {
      for (const TokenRecord& record : backend_->ReadRecords(wait)) {
        --num_unread;
        if (record.token < 0) throw std::runtime_error("the logits are not valid");
        if (record.slot == 0) result.tokens.push_back(record.token);
      }
    };
    for (int32_t step = 0; step < options_.tokens; ++step, ++position) {
      const bool is_first = position == options_.context_tokens;
      for (int32_t slot = 0; slot < batch; ++slot)
        tokens[static_cast<size_t>(slot)] = is_first ? 11 + slot : kLastDrawnToken;
      RunStep(tokens, std::vector<int32_t>(static_cast<size_t>(batch), position), slots, slots, true);
      num_unread += batch;
      do read(false);
      while (num_unread > int64_t{kMaxUnread} * batch);
    }
    read(true);
  }

  const ShapeBenchOptions& options_;
  const HfConfig& shape_;
  int32_t max_batch_, blocks_each_;
  std::vector<int32_t> tables_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  double prefill_tokens_per_s_ = 0;
};

// A fast wrong answer must not win: the first sequence's tokens may not depend on the batch.
void CheckSameTokens(const std::vector<Result>& results) {
  for (const Result& a : results) {
    for (const Result& b : results) {
      if (a.numerics == b.numerics && a.policy == b.policy && a.tokens != b.tokens)
        throw std::runtime_error(fmt::format("{}: the first sequence's tokens differ between batch {} and {}",
                                             a.numerics, a.batch, b.batch));
    }
  }
}

void PrintResult(const ShapeBenchOptions& options, const Result& r, double read_gbps) {
  const double gbps = r.bytes * 1e-3 / r.step_us;
  if (options.json) {
    fmt::print("{}\n", DumpJson({{"shape", options.shape},
                                 {"numerics", r.numerics},
                                 {"head", options.head},
                                 {"policy", r.policy},
                                 {"batch", r.batch},
                                 {"context_tokens", options.context_tokens},
                                 {"step_us", r.step_us},
                                 {"step_us_best", r.step_us_best},
                                 {"step_us_worst", r.step_us_worst},
                                 {"tokens_per_s", r.batch * 1e6 / r.step_us},
                                 {"bytes", r.bytes},
                                 {"read_gbps", read_gbps}}));
  } else {
    fmt::print("{:8} {:8} {:5} {:10.1f} ({:.1f} - {:.1f}) {:10.1f} {:10.1f} {:8.0f} %\n", r.numerics,
               r.policy, r.batch, r.step_us, r.step_us_best, r.step_us_worst, r.batch * 1e6 / r.step_us, gbps,
               100 * gbps / read_gbps);
  }
  std::fflush(stdout);
}

}  // namespace

void RunShapeBench(const ShapeBenchOptions& options) {
  const HfConfig shape = PublishedShape(options.shape);
  const double read_gbps = ReadGbpsOf(options.backend, options.num_threads);
  std::vector<Result> results;
  for (const std::string& numerics : options.numerics) {
    Contestant contestant(options, shape, numerics);
    if (results.empty() && !options.json) {
      fmt::print("{}, {}, {} head, {} tokens of context; memory reads at {:.0f} GB/s\n\n", options.shape,
                 contestant.backend_name(), options.head, options.context_tokens, read_gbps);
      fmt::print(
          "numerics policy   batch    step, us (fastest - slowest)   tokens/s       GB/s   of reads\n");
    }
    for (const std::string& policy : options.policies) {
      for (const int32_t batch : options.batches) {
        results.push_back(contestant.Measure(batch, policy));
        results.back().numerics = numerics;
        PrintResult(options, results.back(), read_gbps);
      }
    }
    if (!options.json)
      fmt::print("{:8} prefill {:.0f} tokens/s\n", numerics, contestant.prefill_tokens_per_s());
  }
  CheckSameTokens(results);
}

}  // namespace fourstep::cli
