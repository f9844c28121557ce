#include "cuda/read_bandwidth.h"

#include <algorithm>
#include <cstdint>

#include "cuda/launch.h"

namespace fourstep {
namespace {

constexpr int kThreads = 512, kLoads = 8;

// Sums [num_vectors] of 16 bytes; what is stored only keeps the loads alive.
__global__ void ReadKernel(const uint4* from, int64_t num_vectors, uint32_t* out) {
  uint32_t sum = 0;
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i + (kLoads - 1) * stride < num_vectors;
       i += kLoads * stride) {
    uint4 v[kLoads];
#pragma unroll
    for (int j = 0; j < kLoads; ++j) v[j] = __ldcs(from + i + j * stride);
#pragma unroll
    for (int j = 0; j < kLoads; ++j) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  if (sum == 0x12345678u) *out = sum;
}

}  // namespace

double MeasureCudaReadGbps() {
  constexpr size_t kBytes = size_t{2} << 30;
  constexpr int kPasses = 8;
  uint4* data;
  uint32_t* out;
  FOURSTEP_CUDA(cudaMalloc(reinterpret_cast<void**>(&data), kBytes));
  FOURSTEP_CUDA(cudaMalloc(reinterpret_cast<void**>(&out), sizeof *out));
  FOURSTEP_CUDA(cudaMemset(data, 0x5A, kBytes));
  int num_sms = 0;
  FOURSTEP_CUDA(cudaDeviceGetAttribute(&num_sms, cudaDevAttrMultiProcessorCount, 0));
  cudaEvent_t begin, end;
  FOURSTEP_CUDA(cudaEventCreate(&begin));
  FOURSTEP_CUDA(cudaEventCreate(&end));
  float best_ms = 1e30f;
  for (int pass = 0; pass < kPasses; ++pass) {
    FOURSTEP_CUDA(cudaEventRecord(begin));
    ReadKernel<<<static_cast<unsigned>(4 * num_sms), kThreads>>>(data, kBytes / sizeof(uint4), out);
    FOURSTEP_CUDA(cudaGetLastError());
    FOURSTEP_CUDA(cudaEventRecord(end));
    FOURSTEP_CUDA(cudaEventSynchronize(end));
    float ms = 0;
    FOURSTEP_CUDA(cudaEventElapsedTime(&ms, begin, end));
    best_ms = std::min(best_ms, ms);
  }
  FOURSTEP_CUDA(cudaEventDestroy(begin));
  FOURSTEP_CUDA(cudaEventDestroy(end));
  FOURSTEP_CUDA(cudaFree(out));
  FOURSTEP_CUDA(cudaFree(data));
  return static_cast<double>(kBytes) * 1e-6 / best_ms;
}

}  // namespace fourstep
