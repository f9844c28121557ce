// The CPU backend's speed: linears of Qwen3-0.6B at 1..8 rows in GB/s of weights, against the read bandwidth
// of this machine measured in the same process, and tokens/s of a small model. Weights are rotated over more
// than the last-level cache, so that they come from memory.
//
//   cpu_bench --benchmark_filter='linear/w4a4.*rows:1/'
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <omp.h>

#include "../tests/backend/random_model.h"
#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"

namespace fourstep {
namespace {

constexpr int64_t kColdBytes = int64_t{192} << 20;

struct Shape {
  const char* name;
  int64_t n, k;
};
constexpr Shape kShapes[] = {{"qkv", 4096, 1024},
                             {"o", 1024, 2048},
                             {"gate_up", 6144, 1024},
                             {"down", 1024, 3072},
                             {"head", 151936, 1024}};

void ReadBandwidth(benchmark::State& state, int threads) {
  const std::vector<uint64_t> data(size_t{512} << 17, 1);
  for (auto _ : state) {
    uint64_t sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(threads)
    for (size_t i = 0; i < data.size(); i += 8) {
      for (size_t j = 0; j < 8; ++j) sum += data[i + j];
    }
    benchmark::DoNotOptimize(sum);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * data.size() * 8));
}

// Copies of one linear that together exceed the cache, and an input in their form. One at a time is alive.
struct Linears {
  std::unique_ptr<Backend> backend;
  std::vector<LinearId> copies;
  ActivationId x, y;
  BatchRows rows;
  Batch batch;

  Linears(const std::string& path, int threads, const Shape& s, Numerics numerics, int32_t num_rows) {
    backend = MakeCpuBackend({.path = path, .num_threads = threads, .max_rows = 256});
    const RandomWeight weight(
        s.n, s.k, {.format = numerics == Numerics::kBf16 ? WeightFormat::kBf16 : WeightFormat::kNvFp4}, 1);
    const int64_t bytes = numerics == Numerics::kBf16 ? s.n * s.k * 2 : s.n * s.k * 9 / 16;
    const LinearWeight view = weight.view();
    for (int64_t i = 0; i * bytes < kColdBytes; ++i)
      copies.push_back(backend->AddLinear({&view, 1}, numerics));
    const RandomWeight table(num_rows, s.k, {.format = WeightFormat::kBf16, .scale = 1}, 2);
    const EmbeddingId embedding = backend->AddEmbedding(table.view());
    const VectorId ones = backend->AddVector(std::vector<float>(static_cast<size_t>(s.k), 1.0f));
    const ActivationId plain = backend->AddActivation(static_cast<int32_t>(s.k));
    x = backend->AddActivation(static_cast<int32_t>(s.k));
    y = backend->AddActivation(static_cast<int32_t>(s.n));
    for (int32_t r = 0; r < num_rows; ++r) rows.Add(0, r, r, false);
    batch = rows.view();
    backend->BeginStep(batch);
    backend->Embed(plain, embedding);
    backend->Norm(x, plain, ones, 1e-6f, copies[0]);
  }
};

void LinearSpeed(benchmark::State& state, const std::string& path, int threads, const Shape& s,
                 Numerics numerics, int32_t num_rows) {
  Linears linears(path, threads, s, numerics, num_rows);
  size_t next = 0;
  for (auto _ : state) {
    linears.backend->Linear(linears.y, linears.x, linears.copies[next]);
    next = (next + 1) % linears.copies.size();
  }
  const int64_t bytes = numerics == Numerics::kBf16 ? s.n * s.k * 2 : s.n * s.k * 9 / 16;
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
  state.counters["GMAC/s"] = benchmark::Counter(
      static_cast<double>(s.n * s.k) * num_rows * 1e-9 * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate);
}

// A model of abacus's size: one token at a time after 256, or prompts of 256.
void SmallModel(benchmark::State& state, const std::string& path, int threads, Numerics numerics,
                int32_t chunk) {
  const auto backend = MakeCpuBackend({.path = path, .num_threads = threads, .max_rows = 256});
  RandomModel model(*backend,
                    {.hidden = 384,
                     .num_layers = 8,
                     .num_heads = 6,
                     .num_kv_heads = 2,
                     .head_dim = 64,
                     .ffn = 1152,
                     .vocab = 1024,
                     .numerics = numerics},
                    1);
  backend->SetBoundaryTokens({}, {}, 1024);
  backend->SetSlot(0, {}, {});
  const auto rows_at = [&](int32_t first, int32_t count) {
    BatchRows rows;
    rows.SetTables(8, 64);
    for (int32_t i = 0; i < count; ++i) rows.Add(0, first + i, (first + i) % 1024, i == count - 1);
    return rows;
  };
  const BatchRows prompt = rows_at(0, 256);
  model.Step(prompt.view(), true);
  int32_t at = 256;
  for (auto _ : state) {
    const BatchRows rows = rows_at(chunk == 1 ? at : 0, chunk);
    model.Step(rows.view(), true);
    at = at == 767 ? 256 : at + 1;
    benchmark::DoNotOptimize(backend->ReadRecords(true));
  }
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * chunk, benchmark::Counter::kIsRate);
}

void RegisterAll() {
  const int all = omp_get_num_procs();
  std::vector<int> threads = {1};
  if (all > 1) threads.push_back(all);
  for (const int t : threads)
    benchmark::RegisterBenchmark(fmt::format("read/threads:{}", t).c_str(), ReadBandwidth, t)->UseRealTime();
  for (const std::string path : {"avx512-vnni", "avx2", "portable"}) {
    if (cpu::FindKernels(path.c_str()) == nullptr) continue;
    for (const int t : threads) {
      for (const Numerics numerics : {Numerics::kW4A4, Numerics::kW4A16, Numerics::kBf16}) {
        for (const int32_t chunk : {1, 256}) {
          const std::string name = fmt::format("small_model/{}/{}/{}/threads:{}", NumericsName(numerics),
                                               path, chunk == 1 ? "decode" : "prefill", t);
          benchmark::RegisterBenchmark(name.c_str(), SmallModel, path, t, numerics, chunk)->UseRealTime();
        }
        for (const Shape& s : kShapes) {
          for (const int32_t m : {1, 2, 3, 4, 5, 6, 7, 8, 256}) {
            const std::string name =
                fmt::format("linear/{}/{}/{}/rows:{}/threads:{}", NumericsName(numerics), path, s.name, m, t);
            benchmark::RegisterBenchmark(name.c_str(), LinearSpeed, path, t, s, numerics, m)->UseRealTime();
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace fourstep

int main(int argc, char** argv) {
  fourstep::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
