#include "cli/shape_bench.h"

#include <fmt/format.h>

#include <cstdio>
#include <stdexcept>

#include "cli/bench_csv.h"
#include "cli/read_bandwidth.h"
#include "cli/timing.h"

namespace fourstep::cli {
namespace {

struct Result {
  std::string numerics, policy;
  int32_t batch = 0;
  Spread step_us;                   // of the repeats' means
  double bytes = 0, read_gbps = 0;  // bytes: read by a step
  std::vector<int32_t> tokens;      // of the first sequence
};

Result Measure(const ShapeBenchOptions& options, ShapeDecoder& decoder, int32_t batch,
               const std::string& policy) {
  Result result;
  result.policy = policy;
  result.batch = batch;
  result.bytes = decoder.bytes_per_step(batch);
  result.tokens = decoder.TimePolicy(batch, policy).tokens;  // warm: pages, clocks
  std::vector<double> steps_us;
  for (int32_t repeat = 0; repeat < options.shape.repeats; ++repeat)
    steps_us.push_back(decoder.TimePolicy(batch, policy).step_us);
  result.step_us = SpreadOf(steps_us);
  return result;
}

// A fast wrong answer must not win: the first sequence's tokens may not depend on the batch.
void CheckSameTokens(const Result& first, const Result& r) {
  if (first.tokens != r.tokens)
    throw std::runtime_error(fmt::format("{}: the first sequence's tokens differ between batch {} and {}",
                                         r.numerics, first.batch, r.batch));
}

BenchRow RowOf(const ShapeBenchOptions& options, const Result& r) {
  BenchRow row = StepColumns(options.shape, r.numerics, r.policy, r.batch, r.step_us);
  row.emplace_back("tokens_per_s", r.batch * 1e6 / r.step_us.median);
  row.emplace_back("bytes", r.bytes);
  row.emplace_back("read_gbps", r.read_gbps);
  return row;
}

void PrintHeader(const ShapeBenchOptions& options, const std::string& backend_name, double read_gbps) {
  fmt::print("{}, {}, {} head, {} tokens of context in {}; memory reads at {:.0f} GB/s\n\n",
             options.shape.shape, backend_name, options.shape.head, options.shape.context_tokens,
             options.shape.kv_cache, read_gbps);
  fmt::print("numerics policy   batch    step, us (fastest - slowest)   tokens/s       GB/s   of reads\n");
}

void Print(const ShapeBenchOptions& options, const Result& r) {
  if (options.json) {
    fmt::print("{}\n", DumpJson(ToJson(RowOf(options, r))));
  } else {
    const double gbps = r.bytes * 1e-3 / r.step_us.median;
    fmt::print("{:8} {:8} {:5} {:10.1f} ({:.1f} - {:.1f}) {:10.1f} {:10.1f} {:8.0f} %\n", r.numerics,
               r.policy, r.batch, r.step_us.median, r.step_us.lowest, r.step_us.highest,
               r.batch * 1e6 / r.step_us.median, gbps, 100 * gbps / r.read_gbps);
  }
  std::fflush(stdout);
}

}  // namespace

void RunShapeBench(const ShapeBenchOptions& options) {
  BenchCsv csv(options.csv_path, options.shape.backend, RowOf(options, {}));
  const double read_gbps = ReadGbpsOf(options.shape.backend, options.shape.num_threads);
  bool has_header = false;
  for (const std::string& numerics : options.shape.numerics) {
    ShapeDecoder decoder(options.shape, numerics);
    if (!has_header && !options.json) PrintHeader(options, decoder.backend_name(), read_gbps);
    has_header = true;
    for (const std::string& policy : options.policies) {
      std::vector<Result> results;
      for (const int32_t batch : options.shape.batches) {
        Result& result = results.emplace_back(Measure(options, decoder, batch, policy));
        result.numerics = numerics;
        result.read_gbps = read_gbps;
        CheckSameTokens(results[0], result);
        Print(options, result);
        csv.Append(decoder.backend_name(), RowOf(options, result));
      }
    }
    if (!options.json) fmt::print("{:8} prefill {:.0f} tokens/s\n", numerics, decoder.prefill_tokens_per_s());
  }
}

}  // namespace fourstep::cli
