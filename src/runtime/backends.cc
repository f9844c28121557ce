#include "runtime/backends.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "cpu/cpu_backend.h"
#if defined(FOURSTEP_HAS_CUDA)
#include "cuda/cuda_backend.h"
#include "cuda/dense_product.h"
#include "cuda/device_clocks.h"
#include "cuda/read_bandwidth.h"
#endif
#include "fourstep/engine.h"
#include "reference/reference_backend.h"

namespace fourstep {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Backend> (*make)(const BackendOptions& options);
  int32_t prefill_chunk_tokens = 256;
};

constexpr Entry kBackends[] = {
    {"cpu",
     [](const BackendOptions& o) {
       return MakeCpuBackend({.path = o.cpu_path, .num_threads = o.num_threads, .max_rows = o.max_rows});
     }},
#if defined(FOURSTEP_HAS_CUDA)
    {"cuda", [](const BackendOptions& o) { return MakeCudaBackend({.max_rows = o.max_rows}); }, 512},
#endif
    {"reference", [](const BackendOptions& o) { return MakeReferenceBackend({.max_rows = o.max_rows}); }},
};

const Entry& EntryOf(const std::string& name) {
  for (const Entry& entry : kBackends) {
    if (name == entry.name) return entry;
  }
  throw Errorf("backend", "\"{}\" is not one of {}", Printable(name), fmt::join(BackendNames(), ", "));
}

}  // namespace

std::unique_ptr<Backend> MakeBackend(const BackendOptions& options) {
  return EntryOf(options.name).make(options);
}

int32_t DefaultPrefillChunk(const std::string& backend) {
  return EntryOf(backend).prefill_chunk_tokens;
}

bool HasDevice([[maybe_unused]] const std::string& backend) {
#if defined(FOURSTEP_HAS_CUDA)
  return backend == "cuda" && CountCudaDevices() > 0;
#else
  return false;
#endif
}

std::optional<double> DeviceReadGbps([[maybe_unused]] const std::string& backend) {
#if defined(FOURSTEP_HAS_CUDA)
  if (HasDevice(backend)) return MeasureCudaReadGbps();
#endif
  return std::nullopt;
}

std::optional<double> DeviceReadUs([[maybe_unused]] const std::string& backend,
                                   [[maybe_unused]] int64_t bytes, [[maybe_unused]] int32_t num_buffers) {
#if defined(FOURSTEP_HAS_CUDA)
  if (HasDevice(backend)) return MeasureCudaReadUs(bytes, num_buffers);
#endif
  return std::nullopt;
}

std::string WhyNoDeviceProducts([[maybe_unused]] const std::string& backend) {
#if defined(FOURSTEP_HAS_CUDA)
  if (HasDevice(backend)) return WhyNoCudaProducts();
#endif
  return "no device";
}

std::optional<double> DeviceProductUs([[maybe_unused]] const std::string& backend,
                                      [[maybe_unused]] int64_t inputs,
                                      [[maybe_unused]] std::span<const BFloat16> weight,
                                      [[maybe_unused]] std::span<const BFloat16> x,
                                      [[maybe_unused]] int32_t num_copies,
                                      [[maybe_unused]] std::span<BFloat16> y) {
#if defined(FOURSTEP_HAS_CUDA)
  if (HasDevice(backend)) return MeasureCudaProductUs(inputs, weight, x, num_copies, y);
#endif
  return std::nullopt;
}

std::optional<DeviceClocks> MaxDeviceClocks([[maybe_unused]] const std::string& backend) {
#if defined(FOURSTEP_HAS_CUDA)
  if (HasDevice(backend)) {
    const CudaClocks clocks = MaxCudaClocks();
    return DeviceClocks{clocks.core_mhz, clocks.memory_mhz};
  }
#endif
  return std::nullopt;
}

std::vector<std::string> BackendNames() {
  std::vector<std::string> names;
  for (const Entry& entry : kBackends) names.emplace_back(entry.name);
  return names;
}

}  // namespace fourstep
