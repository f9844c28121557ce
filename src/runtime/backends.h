// The list of backends: the one place that names them all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"

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

// The highest rates that the device's clocks may run at.
struct DeviceClocks {
  int32_t core_mhz = 0, memory_mhz = 0;
};
std::optional<DeviceClocks> MaxDeviceClocks(const std::string& backend);

}  // namespace fourstep
