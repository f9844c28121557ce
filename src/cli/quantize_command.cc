#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/head_format.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "quantize/quantize.h"

namespace fourstep::cli {
namespace {

constexpr size_t kMaxTextBytes = size_t{64} << 20;

struct Options {
  std::string source, destination, dialect = "modelopt", head = "bf16", text_file;
  int64_t shard_megabytes = 4096;
  bool as_json = false;
  QuantizeOptions quantize;
};

Dialect ParseDialect(const std::string& name) {
  for (const Dialect dialect : {Dialect::kModelOpt, Dialect::kCompressedTensors}) {
    if (name == DialectName(dialect)) return dialect;
  }
  throw Errorf("--dialect", "\"{}\" is not one of {}, {}", Printable(name), DialectName(Dialect::kModelOpt),
               DialectName(Dialect::kCompressedTensors));
}

Json ReportJson(const Options& options, const QuantizeReport& report, double seconds) {
  Json linears = Json::array();
  for (const LinearReport& linear : report.linears) {
    Json& entry = linears.emplace_back();
    entry = {{"module", linear.module},
             {"format", WeightFormatName(linear.format)},
             {"n", linear.n},
             {"k", linear.k},
             {"weight_error", linear.weight_error}};
    if (!options.quantize.weights_only) entry["input_amax"] = linear.input_amax;
  }
  return {{"source", options.source},
          {"destination", options.destination},
          {"method", options.quantize.method},
          {"dialect", options.dialect},
          {"head", options.head},
          {"weights_only", options.quantize.weights_only},
          {"calibration_tokens", report.calibration_tokens},
          {"linears", linears},
          {"weight_error", report.weight_error},
          {"source_bytes", report.source_bytes},
          {"result_bytes", report.result_bytes},
          {"left_out_files", report.left_out_files},
          {"seconds", seconds}};
}

// The report has seven linears a layer, whose last three name parts vary: "layers.0.mlp.down_proj"; the head,
// if it is quantised, comes after them.
std::string Table(const QuantizeReport& report, bool weights_only) {
  constexpr size_t kLayerLinears = 7;
  std::string text = fmt::format("{:>5} |{:^49}|", "", "relative error of the weights, %");
  if (!weights_only) text += fmt::format("{:^40}", "largest input");
  text += fmt::format("\n{:>5} |", "layer");
  for (const char* name : {"q", "k", "v", "o", "gate", "up", "down"}) text += fmt::format("{:>7}", name);
  text += "|";
  if (!weights_only) text += fmt::format("{:>10}{:>10}{:>10}{:>10}", "q,k,v", "o", "gate,up", "down");
  text += "\n";
  for (size_t first = 0; first + kLayerLinears <= report.linears.size(); first += kLayerLinears) {
    text += fmt::format("{:>5} |", first / kLayerLinears);
    const LinearReport* linears = &report.linears[first];
    for (size_t i = 0; i < kLayerLinears; ++i) text += fmt::format("{:>7.2f}", 100 * linears[i].weight_error);
    text += "|";
    for (const size_t i : {0, 3, 4, 6}) {
      if (!weights_only) text += fmt::format("{:>10.4g}", linears[i].input_amax);
    }
    text += "\n";
  }
  if (report.linears.size() % kLayerLinears != 0) {
    const LinearReport& head = report.linears.back();
    text += fmt::format("{:>5} |{:>7.2f}  to {}\n", "head", 100 * head.weight_error,
                        WeightFormatName(head.format));
  }
  return text;
}

void PrintReport(const Options& options, const QuantizeReport& report, double seconds) {
  const double before = static_cast<double>(report.source_bytes) / 1e6;
  const double after = static_cast<double>(report.result_bytes) / 1e6;
  std::string text = Table(report, options.quantize.weights_only);
  const auto num_nvfp4 =
      std::count_if(report.linears.begin(), report.linears.end(),
                    [](const LinearReport& linear) { return linear.format == WeightFormat::kNvFp4; });
  text += fmt::format("{} linears to NVFP4 ({}, {}), relative error {:.2f} % in all\n", num_nvfp4,
                      options.quantize.method, options.dialect, 100 * report.weight_error);
  if (options.quantize.weights_only) {
    text += "no input scales: it runs as w4a16\n";
  } else {
    text += fmt::format("input scales from {} calibration tokens\n", report.calibration_tokens);
  }
  text += fmt::format("{:.1f} MB -> {:.1f} MB ({:.2f} times smaller) in {:.1f} s\n", before, after,
                      before / after, seconds);
  for (const std::string& file : report.left_out_files) {
    text +=
        fmt::format("{} is not copied{}\n", Printable(file),
                    file == "reset.json" ? ": its thresholds were measured on the source; make new ones with "
                                           "`fourstep calibrate`"
                                         : "");
  }
  text += fmt::format("wrote {}\n", Printable(options.destination, 4096));
  WriteOutput(text);
}

void Run(Options options) {
  options.quantize.dialect = ParseDialect(options.dialect);
  options.quantize.head = ParseHeadFormat(options.head);
  options.quantize.shard_bytes = options.shard_megabytes << 20;
  if (!options.text_file.empty()) {
    options.quantize.calibration_text = ReadFile(options.text_file, kMaxTextBytes);
    if (options.quantize.calibration_text.empty())
      throw Error(options.text_file, "is empty, expected a calibration text");
  }
  const auto started = std::chrono::steady_clock::now();
  QuantizeReport report;
  {
    const InterruptWatch interrupts;
    std::unique_ptr<Progress> progress;
    report = Quantize(options.source, options.destination, options.quantize,
                      [&](size_t done, size_t total, const std::string& module) {
                        if (!progress) progress = std::make_unique<Progress>("steps", total);
                        progress->Update(done, module);
                        if (interrupts.interrupted()) throw Interrupted();  // the destination is tidied up
                      });
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (options.as_json) {
    WriteLine(ReportJson(options, report, seconds));
  } else {
    PrintReport(options, report, seconds);
  }
  FlushOutput();
}

}  // namespace

void AddQuantizeCommand(CLI::App& app) {
  CLI::App* command = app.add_subcommand("quantize", "Make an NVFP4 checkpoint of a BF16, FP16 or FP32 one");
  auto options = std::make_shared<Options>();
  QuantizeOptions& quantize = options->quantize;
  command->add_option("source", options->source, "Folder of the checkpoint (Hugging Face)")->required();
  command->add_option("destination", options->destination, "Folder to write; must not exist")->required();
  command->add_option("--method", quantize.method, fmt::format("{}", fmt::join(QuantizeMethods(), ", ")))
      ->capture_default_str();
  command->add_option("--dialect", options->dialect, "modelopt or compressed-tensors: how tensors are named")
      ->capture_default_str();
  command
      ->add_option(
          "--head", options->head,
          "fp8 or nvfp4: the head too, as one of its own where it is tied to the embedding; bf16: it "
          "stays as it is")
      ->capture_default_str();
  CLI::Option* weights_only =
      command->add_flag("--weights-only", quantize.weights_only,
                        "No calibration and no input scales: the result runs as w4a16");
  command
      ->add_option("--calibration-text", options->text_file,
                   "A text like those that the model will read and write; left out: a built-in one")
      ->excludes(weights_only);
  command
      ->add_option("--calibration-tokens", quantize.calibration_tokens, "Tokens of the text to read, at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str()
      ->excludes(weights_only);
  command->add_option("--shard-size-mb", options->shard_megabytes, "Largest file of weights, in MiB")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--threads", quantize.num_threads, "0: as many as there are cores")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_flag("--json", options->as_json, "The report as one JSON object");
  command->callback([options] { Run(*options); });
}

}  // namespace fourstep::cli
