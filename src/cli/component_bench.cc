#include "cli/component_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <vector>

#include "cli/bench_csv.h"
#include "cli/read_bandwidth.h"
#include "cli/timing.h"

namespace fourstep::cli {
namespace {

struct Result {
  std::string numerics, component;
  int32_t batch = 0;
  Spread us;
  double step_us = 0;               // of the whole step without a draw
  double bytes = 0, read_gbps = 0;  // bytes: that it reads
};

// The whole step, then each component alone. They take turns within a repeat, so that drift of the machine's
// speed is the same for all of them.
constexpr size_t kNumTimed = 1 + std::size(kComponents);
std::optional<Component> ComponentOf(size_t timed) {
  return timed == 0 ? std::nullopt : std::optional(kComponents[timed - 1].component);
}

std::vector<Result> Measure(const StepBenchOptions& options, ShapeDecoder& decoder,
                            const std::string& numerics, int32_t batch, double read_gbps) {
  std::array<std::vector<double>, kNumTimed> us;
  for (int32_t repeat = -1; repeat < options.shape.repeats; ++repeat) {  // the first is not counted: it warms
    for (size_t i = 0; i < kNumTimed; ++i) {
      const double step_us = decoder.TimeForward(batch, ComponentOf(i)).step_us;
      if (repeat >= 0) us[i].push_back(step_us);
    }
  }
  std::vector<Result> results;
  for (size_t i = 0; i < kNumTimed; ++i) {
    const std::optional<Component> component = ComponentOf(i);
    results.push_back(
        {.numerics = numerics,
         .component = i == 0 ? "step" : std::string(kComponents[i - 1].name),
         .batch = batch,
         .us = SpreadOf(us[i]),
         .step_us = SpreadOf(us[0]).median,
         .bytes = component ? decoder.bytes_of(*component, batch) : decoder.bytes_per_step(batch),
         .read_gbps = read_gbps});
  }
  return results;
}

double Gbps(const Result& r) {
  return r.us.median > 0 ? r.bytes * 1e-3 / r.us.median : 0;
}

BenchRow RowOf(const StepBenchOptions& options, const Result& r) {
  return {{"shape", options.shape.shape},
          {"numerics", r.numerics},
          {"head", options.shape.head},
          {"kv_cache", options.shape.kv_cache},
          {"batch", r.batch},
          {"context_tokens", options.shape.context_tokens},
          {"component", r.component},
          {"us", r.us.median},
          {"us_best", r.us.lowest},
          {"us_worst", r.us.highest},
          {"of_step", r.step_us > 0 ? r.us.median / r.step_us : 0},
          {"bytes", r.bytes},
          {"read_gbps", r.read_gbps},
          {"of_reads", r.read_gbps > 0 ? Gbps(r) / r.read_gbps : 0}};
}

void PrintHeader(const StepBenchOptions& options, const std::string& backend_name, double read_gbps) {
  fmt::print(
      "{}, {}, {} head, {} tokens of context in {}; memory reads at {:.0f} GB/s; medians (and ranges) of {} "
      "repeats of {} steps, each component in steps of its own\n\n",
      options.shape.shape, backend_name, options.shape.head, options.shape.context_tokens,
      options.shape.kv_cache, read_gbps, options.shape.repeats, options.shape.tokens);
  fmt::print(
      "numerics batch component          us                      of step       MB     GB/s  of reads\n");
}

void Print(const StepBenchOptions& options, const Result& r) {
  if (options.json) {
    fmt::print("{}\n", DumpJson(ToJson(RowOf(options, r))));
  } else {
    fmt::print("{:8} {:5} {:10} {:11.1f} {:24} {:6.1f} % {:8.1f} {:8.1f} {:7.0f} %\n", r.numerics, r.batch,
               r.component, r.us.median, fmt::format("({:.1f} .. {:.1f})", r.us.lowest, r.us.highest),
               100 * r.us.median / r.step_us, r.bytes * 1e-6, Gbps(r), 100 * Gbps(r) / r.read_gbps);
  }
  std::fflush(stdout);
}

// How far the parts are from the whole: what runs side by side, and what every step costs once.
void PrintSum(const std::vector<Result>& results) {
  double sum_us = 0;
  for (size_t i = 1; i < results.size(); ++i) sum_us += results[i].us.median;
  fmt::print("{:8} {:5} {:10} {:11.1f} {:24} {:6.1f} %\n\n", results[0].numerics, results[0].batch,
             "their sum", sum_us, "", 100 * sum_us / results[0].step_us);
}

}  // namespace

void RunComponentBench(const StepBenchOptions& options) {
  BenchCsv csv(options.csv_path, options.shape.backend, RowOf(options, {}));
  const double read_gbps = ReadGbpsOf(options.shape.backend, options.shape.num_threads);
  bool is_first = true;
  for (const std::string& numerics : options.shape.numerics) {
    ShapeDecoder decoder(options.shape, numerics);
    if (is_first && !options.json) PrintHeader(options, decoder.backend_name(), read_gbps);
    is_first = false;
    for (const int32_t batch : options.shape.batches) {
      const std::vector<Result> results = Measure(options, decoder, numerics, batch, read_gbps);
      for (const Result& result : results) {
        Print(options, result);
        csv.Append(decoder.backend_name(), RowOf(options, result));
      }
      if (!options.json) PrintSum(results);
    }
  }
}

}  // namespace fourstep::cli
