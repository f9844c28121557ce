// Launching kernels, and checked calls of the CUDA runtime. Free of other headers of this project: .cu files
// include it, and nvcc cannot read fmt.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace fourstep::cuda {

// A CUDA error is a bug of this program or a broken device: aborts with the call and what the runtime says.
void CheckCuda(cudaError_t status, const char* call, const char* file, int line);
// A bug of the caller: aborts.
void CheckTrue(bool condition, const char* text, const char* file, int line);

// Launches `kernel` so that it may begin while the kernel before it in the stream still runs: every kernel of
// this backend calls WaitForPrevious() (kernel_util.cuh) before it touches what others wrote or read.
template <class... Parameters, class... Arguments>
void Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            const Arguments&... arguments) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = 1;
  CheckCuda(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), "launch", __FILE__, __LINE__);
}

// Blocks of `kernel` may ask for so much dynamic shared memory from now on: once before its first launch.
// True.
template <class Kernel>
bool AllowSharedBytes(const Kernel& kernel, int bytes) {
  CheckCuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "shared memory",
            __FILE__, __LINE__);
  return true;
}

}  // namespace fourstep::cuda

#define FOURSTEP_CUDA(call) ::fourstep::cuda::CheckCuda((call), #call, __FILE__, __LINE__)
#define FOURSTEP_CUDA_REQUIRE(condition) \
  ::fourstep::cuda::CheckTrue((condition), #condition, __FILE__, __LINE__)
