#include "cuda/device_clocks.h"

#include "cuda/launch.h"

namespace fourstep {

CudaClocks MaxCudaClocks() {
  int core_khz = 0, memory_khz = 0;
  FOURSTEP_CUDA(cudaDeviceGetAttribute(&core_khz, cudaDevAttrClockRate, 0));
  FOURSTEP_CUDA(cudaDeviceGetAttribute(&memory_khz, cudaDevAttrMemoryClockRate, 0));
  return {core_khz / 1000, memory_khz / 1000};
}

}  // namespace fourstep
