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

// GB/s at which the memory of a device can be read, measured; nothing for backends that use the host's.
std::optional<double> DeviceReadGbps(const std::string& backend);

}  // namespace fourstep
