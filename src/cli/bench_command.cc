#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/component_bench.h"
#include "cli/decode_bench.h"
#include "cli/head_format.h"
#include "cli/kernel_bench.h"
#include "cli/model_options.h"
#include "cli/policy_bench.h"
#include "cli/shape_bench.h"
#include "fourstep/engine.h"
#include "model/published_shapes.h"

namespace fourstep::cli {
namespace {

// Rows of a step.
constexpr int32_t kMaxBatch = 256;

CLI::Option* AddBatches(CLI::App& command, std::vector<int32_t>& batches, const std::string& what) {
  return command.add_option("--batch", batches, what + ", e.g. 1,8")
      ->delimiter(',')
      ->check(CLI::Range(1, kMaxBatch))
      ->capture_default_str();
}

CLI::Option* AddNumerics(CLI::App& command, std::vector<std::string>& numerics) {
  return command
      .add_option("--numerics", numerics,
                  fmt::format("w4a4, w4a16 or bf16, or several; default: {}", fmt::join(numerics, ",")))
      ->delimiter(',')
      ->check(CLI::IsMember({"w4a4", "w4a16", "bf16"}))
      ->option_text("NAME");
}

CLI::Option* AddHead(CLI::App& command, std::string& head) {
  return command
      .add_option("--head", head,
                  fmt::format("Format of the head: {}; default: {}", fmt::join(HeadFormatNames(), ", "),
                              head.empty() ? "that of the other linears" : head))
      ->check(CLI::IsMember(HeadFormatNames()))
      ->option_text("NAME");
}

CLI::Option* AddCsv(CLI::App& command, std::string& path) {
  return command
      .add_option("--csv", path, "Append the results to a file, with date, commit, backend and clocks")
      ->check(CLI::Validator([](const std::string& file) { return file.empty() ? "A path is expected" : ""; },
                             "FILE", ""))
      ->option_text("FILE");
}

// Threads and paths of a CPU say nothing to another backend.
void RefuseCpuOptions(const CLI::App& command, const EngineOptions& engine) {
  if (engine.backend == EngineOptions{}.backend) return;
  for (const char* option : {"--cpu-path", "--threads"}) {
    if (command.count(option) > 0) throw Errorf(option, "has no effect with --backend {}", engine.backend);
  }
}

template <class BenchOptions>
void SetBackend(BenchOptions& to, const EngineOptions& engine) {
  to.backend = engine.backend;
  to.cpu_path = engine.cpu_path;
  to.num_threads = engine.num_threads;
}

struct DecodeOptions {
  DecodeBenchOptions checkpoint;
  ShapeBenchOptions random;  // where a shape is named: no checkpoint
};

void AddShapeOptions(CLI::App& decode, ShapeBenchOptions& options) {
  const char* kGroup = "Random weights in place of a checkpoint";
  CLI::Option* shape = decode.add_option("--shape", options.shape.shape, "Of a published model")
                           ->check(CLI::IsMember(PublishedShapeNames()))
                           ->option_text("NAME")
                           ->excludes("--prompt-tokens")
                           ->group(kGroup);
  AddHead(decode, options.shape.head)->needs(shape)->group(kGroup);
  AddCsv(decode, options.csv_path)->needs(shape)->group(kGroup);
  decode.add_option("--policy", options.policies, "Policies to time, e.g. fixed,reset")
      ->delimiter(',')
      ->check(CLI::IsMember({"fixed", "greedy", "reset", "dynatemp"}))
      ->needs(shape)
      ->capture_default_str()
      ->group(kGroup);
}

void RunDecode(const DecodeOptions& options) {
  if (options.random.shape.shape.empty()) return RunDecodeBench(options.checkpoint);
  const DecodeBenchOptions& given = options.checkpoint;
  const EngineOptions& engine = given.model.engine;
  ShapeBenchOptions random = options.random;
  SetBackend(random.shape, engine);
  if (!engine.numerics.empty()) random.shape.numerics = {engine.numerics};
  if (!engine.kv_cache.empty()) random.shape.kv_cache = engine.kv_cache;
  random.shape.batches = given.batches;
  if (given.model.context_tokens > 0) random.shape.context_tokens = given.model.context_tokens;
  random.shape.tokens = given.tokens;
  random.json = given.json;
  RunShapeBench(random);
}

void AddDecode(CLI::App& bench) {
  CLI::App* decode = bench.add_subcommand("decode", "Prefill and decode of a checkpoint, by batch size");
  auto options = std::make_shared<DecodeOptions>();
  DecodeBenchOptions& checkpoint = options->checkpoint;
  AddModelOptions(*decode, checkpoint.model);
  AddBatches(*decode, checkpoint.batches, "Sequences decoding at a time");
  decode->add_option("--prompt-tokens", checkpoint.prompt_tokens, "Tokens of each prompt, about")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  decode->add_option("--tokens", checkpoint.tokens, "Steps to time")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  decode->add_flag("--json", checkpoint.json, "One JSON object");
  AddShapeOptions(*decode, options->random);
  decode->callback([options] { RunDecode(*options); });
}

struct KernelOptions {
  KernelBenchOptions kernels;
  EngineOptions engine;  // the backend of it
};

void AddKernels(CLI::App& bench) {
  CLI::App* command =
      bench.add_subcommand("kernels", "Every projection of published shapes, on weights that no cache holds");
  auto options = std::make_shared<KernelOptions>();
  KernelBenchOptions& kernels = options->kernels;
  command
      ->add_option("--shape", kernels.shapes,
                   "Of a published model, or of several; default: " + kernels.shapes[0])
      ->delimiter(',')
      ->check(CLI::IsMember(PublishedShapeNames()))
      ->option_text("NAME");
  AddNumerics(*command, kernels.numerics);
  AddHead(*command, kernels.head);
  AddBatches(*command, kernels.batches, "Rows of a step");
  command->add_option("--cold-mb", kernels.cold_mb, "Megabytes of copies that take turns, at least")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_option("--repeats", kernels.repeats, "Measurements of each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", kernels.json, "One JSON object a result");
  AddCsv(*command, kernels.csv_path);
  AddBackendOptions(*command, options->engine, "Backend");
  command->callback([command, options] {
    RefuseCpuOptions(*command, options->engine);
    SetBackend(options->kernels, options->engine);
    RunKernelBench(options->kernels);
  });
}

void AddStepBench(CLI::App& bench, const char* name, const char* description, const char* turns,
                  void (*run)(const StepBenchOptions&)) {
  CLI::App* command = bench.add_subcommand(name, description);
  auto options = std::make_shared<StepBenchOptions>();
  auto engine = std::make_shared<EngineOptions>();  // the backend of it
  ShapeOptions& shape = options->shape;
  shape.shape = "qwen3-8b";
  shape.numerics = {"w4a4"};
  command->add_option("--shape", shape.shape, "Of a published model; default: " + shape.shape)
      ->check(CLI::IsMember(PublishedShapeNames()))
      ->option_text("NAME");
  AddNumerics(*command, shape.numerics);
  AddHead(*command, shape.head);
  AddKvCacheOption(*command, shape.kv_cache, shape.kv_cache);
  AddBatches(*command, shape.batches, "Sequences decoding at a time");
  command->add_option("--context", shape.context_tokens, "Tokens in the cache of each sequence")
      ->check(CLI::Range(int32_t{16}, int32_t{1} << 24))
      ->capture_default_str();
  command->add_option("--tokens", shape.tokens, "Steps of a repeat")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command
      ->add_option("--repeats", shape.repeats, fmt::format("Repeats, in each of which {} take turns", turns))
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object a result");
  AddCsv(*command, options->csv_path);
  AddBackendOptions(*command, *engine, "Backend");
  command->callback([command, options, engine, run] {
    RefuseCpuOptions(*command, *engine);
    SetBackend(options->shape, *engine);
    run(*options);
  });
}

}  // namespace

void AddBenchCommand(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Speed, against what the machine's memory gives");
  bench->require_subcommand(1);
  AddDecode(*bench);
  AddKernels(*bench);
  AddStepBench(*bench, "policy", "What each decoding policy adds to a step", "all policies", RunPolicyBench);
  AddStepBench(*bench, "components", "What each kind of operation takes of a step", "all components",
               RunComponentBench);
}

}  // namespace fourstep::cli
