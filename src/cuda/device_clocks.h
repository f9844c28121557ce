// How fast the GPU's clocks may run: figures of speed are told with them.
#pragma once

#include <cstdint>

namespace fourstep {

struct CudaClocks {
  int32_t core_mhz = 0, memory_mhz = 0;
};

// The highest rates of device 0, as the driver states them; what runs may be slowed below them.
CudaClocks MaxCudaClocks();

}  // namespace fourstep
