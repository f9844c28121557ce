#include "cuda/launch.h"

#include "base/check.h"

namespace fourstep::cuda {

void CheckCuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status != cudaSuccess) CheckFailed(file, line, call, cudaGetErrorString(status));
}

void CheckTrue(bool condition, const char* text, const char* file, int line) {
  if (!condition) CheckFailed(file, line, text, "");
}

}  // namespace fourstep::cuda
