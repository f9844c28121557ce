#include "cli/policy_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <vector>

#include "cli/bench_csv.h"
#include "cli/timing.h"

namespace fourstep::cli {
namespace {

// The step without a draw, then the policies.
constexpr const char* kNone = "none";
constexpr const char* kFixed = "fixed";
const std::array<std::string, 5> kKinds = {kNone, "greedy", kFixed, "reset", "dynatemp"};

// What a step costs more than another, of the same repeats.
struct Cost {
  Spread us, percent;
};

struct Result {
  std::string numerics, policy;
  int32_t batch = 0;
  Spread step_us;
  Cost over_none, over_fixed;
};

using Tokens = std::map<std::string, std::vector<int32_t>>;  // of the first sequence, by policy

void CheckTokens(Tokens& known, const std::string& policy, const std::vector<int32_t>& tokens,
                 int32_t batch) {
  const auto [at, is_new] = known.try_emplace(policy, tokens);
  if (at->second != tokens)
    throw std::runtime_error(
        fmt::format("{}: the first sequence's tokens at batch {} differ from those before", policy, batch));
}

// steps_us[kind][repeat]. All kinds take turns within a repeat, every other repeat in the reverse order, so
// that drift of the machine's speed is the same for all of them.
std::vector<std::vector<double>> TimeKinds(const StepBenchOptions& options, ShapeDecoder& decoder,
                                           int32_t batch, Tokens& known) {
  std::vector<std::vector<double>> steps_us(kKinds.size());
  for (int32_t repeat = -1; repeat < options.shape.repeats; ++repeat) {  // the first is not counted: it warms
    for (size_t i = 0; i < kKinds.size(); ++i) {
      const size_t kind = repeat % 2 == 0 ? i : kKinds.size() - 1 - i;
      const StepTiming timing =
          kKinds[kind] == kNone ? decoder.TimeForward(batch) : decoder.TimePolicy(batch, kKinds[kind]);
      if (kKinds[kind] != kNone) CheckTokens(known, kKinds[kind], timing.tokens, batch);
      if (repeat >= 0) steps_us[kind].push_back(timing.step_us);
    }
  }
  return steps_us;
}

Cost CostOver(const std::vector<double>& steps_us, const std::vector<double>& base_us) {
  std::vector<double> us, percent;
  for (size_t i = 0; i < steps_us.size(); ++i) {
    us.push_back(steps_us[i] - base_us[i]);
    percent.push_back(100 * us.back() / base_us[i]);
  }
  return {SpreadOf(us), SpreadOf(percent)};
}

std::vector<Result> Measure(const StepBenchOptions& options, ShapeDecoder& decoder,
                            const std::string& numerics, int32_t batch, Tokens& known) {
  const std::vector<std::vector<double>> steps_us = TimeKinds(options, decoder, batch, known);
  const size_t fixed = static_cast<size_t>(std::find(kKinds.begin(), kKinds.end(), kFixed) - kKinds.begin());
  std::vector<Result> results;
  for (size_t i = 0; i < kKinds.size(); ++i) {
    results.push_back({.numerics = numerics,
                       .policy = kKinds[i],
                       .batch = batch,
                       .step_us = SpreadOf(steps_us[i]),
                       .over_none = CostOver(steps_us[i], steps_us[0]),
                       .over_fixed = CostOver(steps_us[i], steps_us[fixed])});
  }
  return results;
}

void AddCost(BenchRow& row, const std::string& name, const Cost& cost) {
  for (const auto& [unit, spread] : {std::pair{"us", cost.us}, {"percent", cost.percent}}) {
    const std::string column = name + "_" + unit;
    row.emplace_back(column, spread.median);
    row.emplace_back(column + "_lowest", spread.lowest);
    row.emplace_back(column + "_highest", spread.highest);
  }
}

BenchRow RowOf(const StepBenchOptions& options, const Result& r) {
  BenchRow row = StepColumns(options.shape, r.numerics, r.policy, r.batch, r.step_us);
  AddCost(row, "over_none", r.over_none);
  AddCost(row, "over_fixed", r.over_fixed);
  return row;
}

std::string CostText(const Cost& c) {
  return fmt::format("{:+.1f} us ({:+.1f} .. {:+.1f}), {:+.2f} % ({:+.2f} .. {:+.2f})", c.us.median,
                     c.us.lowest, c.us.highest, c.percent.median, c.percent.lowest, c.percent.highest);
}

void PrintHeader(const StepBenchOptions& options, const std::string& backend_name) {
  fmt::print("{}, {}, {} head, {} tokens of context; medians (and ranges) of {} repeats of {} steps\n\n",
             options.shape.shape, backend_name, options.shape.head, options.shape.context_tokens,
             options.shape.repeats, options.shape.tokens);
  fmt::print("numerics batch policy      step, us  {:<56} over fixed\n", "over none");
}

void Print(const StepBenchOptions& options, const Result& r) {
  if (options.json) {
    fmt::print("{}\n", DumpJson(ToJson(RowOf(options, r))));
  } else {
    fmt::print("{:8} {:5} {:8} {:11.1f}  {:<56} {}\n", r.numerics, r.batch, r.policy, r.step_us.median,
               r.policy == kNone ? "" : CostText(r.over_none),
               r.policy == kNone || r.policy == kFixed ? "" : CostText(r.over_fixed));
  }
  std::fflush(stdout);
}

}  // namespace

void RunPolicyBench(const StepBenchOptions& options) {
  BenchCsv csv(options.csv_path, options.shape.backend, RowOf(options, {}));
  bool is_first = true;
  for (const std::string& numerics : options.shape.numerics) {
    ShapeDecoder decoder(options.shape, numerics);
    if (is_first && !options.json) PrintHeader(options, decoder.backend_name());
    is_first = false;
    Tokens known;
    for (const int32_t batch : options.shape.batches) {
      for (const Result& result : Measure(options, decoder, numerics, batch, known)) {
        Print(options, result);
        csv.Append(decoder.backend_name(), RowOf(options, result));
      }
    }
  }
}

}  // namespace fourstep::cli
