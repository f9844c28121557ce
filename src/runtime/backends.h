// The list of backends: the one place that names them all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "formats/bfloat16.h"

namespace fourstep {

struct BackendOptions {
  std::string name = "cpu";
  std::string cpu_path;     // cpu only; empty: the best that the machine has
  int32_t num_threads = 0;  // cpu only; 0: as many as the process may use cores
  int32_t max_rows = 256;   // of one step
};

// Throws Error naming the choices for another name, or where the machine lacks what the options ask for.
std::unique_ptr<Backend> MakeBackend(const BackendOptions& options);

// Rows of a prefill step where nothing else is asked for: more make a GPU faster, but other sequences wait
// for as long as the step takes. Throws Error as MakeBackend does for another name.
int32_t DefaultPrefillChunk(const std::string& backend);

// Whether the backend computes on a device with memory of its own, and there is one.
bool HasDevice(const std::string& backend);

// The following is nothing where not HasDevice.

// GB/s at which the device's memory can be read, measured.
std::optional<double> DeviceReadGbps(const std::string& backend);

// Microseconds that reading `bytes` takes, measured back to back over `num_buffers` buffers in turn.
std::optional<double> DeviceReadUs(const std::string& backend, int64_t bytes, int32_t num_buffers);

// Why there are no products by the library of the device's vendor, for people; empty where there are.
std::string WhyNoDeviceProducts(const std::string& backend);

// Microseconds that y [batch, outputs] = weight [outputs, inputs] times x [batch, inputs] takes by that
// library, measured back to back with `num_copies` of the weight in turn; y is what it gave. Nothing where
// there are no such products, or not enough memory is free.
std::optional<double> DeviceProductUs(const std::string& backend, int64_t inputs,
                                      std::span<const BFloat16> weight, std::span<const BFloat16> x,
                                      int32_t num_copies, std::span<BFloat16> y);

// The highest rates that the device's clocks may run at.
struct DeviceClocks {
  int32_t core_mhz = 0, memory_mhz = 0;
};
std::optional<DeviceClocks> MaxDeviceClocks(const std::string& backend);

}  // namespace fourstep
