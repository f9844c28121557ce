#include "cli/kernel_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>

#include "cli/bench_csv.h"
#include "cli/cold_projection.h"
#include "cli/dense_products.h"
#include "cli/head_format.h"
#include "cli/read_bandwidth.h"
#include "model/published_shapes.h"
#include "model/random_decoder.h"
#include "runtime/backends.h"

namespace fourstep::cli {
namespace {

struct Result {
  std::string shape, numerics, weights, linear;  // weights: their format
  int64_t outputs = 0, inputs = 0, bytes = 0;
  int32_t copies = 0, batch = 0;
  Spread us;
  double read_gbps = 0;             // of one big read
  double floor_us = 0;              // that reading the bytes takes, under the same rotation
  std::optional<double> cublas_us;  // that the product takes in BF16, likewise

  double gbps() const { return static_cast<double>(bytes) * 1e-3 / us.median; }
};

BenchRow RowOf(const Result& r) {
  return {{"shape", r.shape},
          {"numerics", r.numerics},
          {"weights", r.weights},
          {"linear", r.linear},
          {"outputs", r.outputs},
          {"inputs", r.inputs},
          {"bytes", r.bytes},
          {"copies", r.copies},
          {"batch", r.batch},
          {"us", r.us.median},
          {"us_best", r.us.lowest},
          {"us_worst", r.us.highest},
          {"gbps", r.gbps()},
          {"read_gbps", r.read_gbps},
          {"of_reads", r.gbps() / r.read_gbps},
          {"floor_us", r.floor_us},
          {"of_floor", r.floor_us / r.us.median},
          {"cublas_us", r.cublas_us ? Json(*r.cublas_us) : Json()}};
}

void PrintHeader(const std::string& shape, const std::string& backend_name, double read_gbps) {
  fmt::print(
      "{}, {}; memory reads at {:.0f} GB/s; floor: reading the same bytes, alone; cuBLAS: the same "
      "product in BF16, alone, and how many times as long it takes\n\n",
      shape, backend_name, read_gbps);
  fmt::print(
      "numerics weights linear   outputs x inputs       MB  batch        us (fastest - slowest)         GB/s"
      "  of reads  floor, us  of floor  cuBLAS, us   times\n");
}

void Print(const KernelBenchOptions& options, const Result& r) {
  if (options.json) {
    fmt::print("{}\n", DumpJson(ToJson(RowOf(r))));
  } else {
    fmt::print(
        "{:8} {:7} {:8} {:>7} x {:<6} {:8.2f} {:6} {:9.2f} {:22} {:9.1f} {:7.0f} % {:10.2f} {:7.0f} %  "
        "{:>10} {:>7}\n",
        r.numerics, r.weights, r.linear, r.outputs, r.inputs, static_cast<double>(r.bytes) * 1e-6, r.batch,
        r.us.median, fmt::format("({:.2f} - {:.2f})", r.us.lowest, r.us.highest), r.gbps(),
        100 * r.gbps() / r.read_gbps, r.floor_us, 100 * r.floor_us / r.us.median,
        r.cublas_us ? fmt::format("{:.2f}", *r.cublas_us) : "-",
        r.cublas_us ? fmt::format("{:.2f}", *r.cublas_us / r.us.median) : "-");
  }
  std::fflush(stdout);
}

int32_t NumCopies(const KernelBenchOptions& options, int64_t bytes) {
  // Of the largest linears a few are enough for coldness; more even out what differs between them, where
  // there is memory.
  const int64_t fewest = HasDevice(options.backend) ? 8 : 2;
  return static_cast<int32_t>(std::max(fewest, options.cold_mb * int64_t{1'000'000} / bytes + 1));
}

// A bench of one shape: what all of its results share.
class ShapeKernels {
 public:
  ShapeKernels(const KernelBenchOptions& options, const std::string& shape, double read_gbps,
               DenseProducts& products, BenchCsv& csv)
      : options_(options), shape_(shape), read_gbps_(read_gbps), products_(products), csv_(csv) {}

  void Run() {
    HfConfig shape = PublishedShape(shape_);
    shape.num_layers = 1;
    for (const std::string& name : options_.numerics) {
      const Numerics numerics = ParseNumerics(name).value();
      const RandomDecoderWeights weights(shape, numerics, HeadOf(numerics));
      for (const Projection& projection : ProjectionsOf(weights.view(), numerics)) Measure(projection);
    }
  }

 private:
  WeightFormat HeadOf(Numerics numerics) const {
    if (!options_.head.empty()) return ParseHeadFormat(options_.head);
    return numerics == Numerics::kBf16 ? WeightFormat::kBf16 : WeightFormat::kNvFp4;
  }

  void Measure(const Projection& p) {
    Result result{.shape = shape_,
                  .numerics = std::string(NumericsName(p.numerics)),
                  .weights = std::string(WeightFormatName(p.weights.front().format)),
                  .linear = p.name,
                  .outputs = p.outputs(),
                  .inputs = p.inputs(),
                  .bytes = p.bytes(),
                  .copies = NumCopies(options_, p.bytes()),
                  .us = {},
                  .read_gbps = read_gbps_,
                  .cublas_us = {}};
    result.floor_us = ReadUsOf(options_.backend, result.bytes, result.copies, options_.num_threads);
    const int64_t dense_bytes = 2 * result.outputs * result.inputs;
    const std::vector<std::optional<double>>& cublas_us =
        products_.Us(result.outputs, result.inputs, NumCopies(options_, dense_bytes));
    const std::unique_ptr<Backend> backend =
        MakeBackend({.name = options_.backend,
                     .cpu_path = options_.cpu_path,
                     .num_threads = options_.num_threads,
                     .max_rows = *std::max_element(options_.batches.begin(), options_.batches.end())});
    if (!has_header_ && !options_.json) PrintHeader(shape_, backend->name(), read_gbps_);
    has_header_ = true;
    ColdProjection cold(*backend, p, result.copies);
    for (const int32_t batch : options_.batches) cold.Check(batch);
    for (size_t i = 0; i < options_.batches.size(); ++i) {
      result.batch = options_.batches[i];
      result.us = cold.TimeUs(result.batch, options_.repeats);
      result.cublas_us = cublas_us[i];
      Print(options_, result);
      csv_.Append(backend->name(), RowOf(result));
    }
  }

  const KernelBenchOptions& options_;
  const std::string shape_;
  const double read_gbps_;
  DenseProducts& products_;
  BenchCsv& csv_;
  bool has_header_ = false;
};

// Of the backend's device, where it has a library for them.
DenseProducts DenseProductsOf(const KernelBenchOptions& options) {
  const std::string why_none = WhyNoDeviceProducts(options.backend);
  if (why_none.empty()) return {std::bind_front(DeviceProductUs, options.backend), options.batches};
  if (HasDevice(options.backend) && !options.json)
    fmt::print("nothing to compare products with: {}\n", why_none);
  return {nullptr, options.batches};
}

}  // namespace

void RunKernelBench(const KernelBenchOptions& options) {
  BenchCsv csv(options.csv_path, options.backend, RowOf({}));
  const double read_gbps = ReadGbpsOf(options.backend, options.num_threads);
  DenseProducts products = DenseProductsOf(options);
  for (const std::string& shape : options.shapes)
    ShapeKernels(options, shape, read_gbps, products, csv).Run();
}

}  // namespace fourstep::cli
