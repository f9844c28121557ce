#include "cuda/read_bandwidth.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/stream_clock.h"

namespace fourstep {
namespace {

constexpr int kThreads = 512, kLoads = 8;

// Sums [num_vectors] of 16 bytes; what is stored only keeps the loads alive.
__global__ void ReadKernel(const uint4* from, int64_t num_vectors, uint32_t* out) {
  cuda::LetNextBegin();
  uint32_t sum = 0;
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < num_vectors; i += kLoads * stride) {
    uint4 v[kLoads];
#pragma unroll
    for (int j = 0; j < kLoads; ++j)
      v[j] = i + j * stride < num_vectors ? __ldcs(from + i + j * stride) : uint4{};
#pragma unroll
    for (int j = 0; j < kLoads; ++j) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  // What it reads never changes, so only its end has to come after that of the kernel before.
  cuda::WaitForPrevious();
  if (sum == 0x12345678u) *out = sum;
}

// Buffers that are read in turn, and the clock of the stream that reads them.
class Reader {
 public:
  Reader(int64_t bytes, int32_t num_buffers)
      : num_vectors_((bytes + int64_t{sizeof(uint4)} - 1) / int64_t{sizeof(uint4)}),
        num_buffers_(num_buffers) {
    const size_t all = static_cast<size_t>(num_vectors_) * static_cast<size_t>(num_buffers) * sizeof(uint4);
    const cudaError_t status = cudaMalloc(reinterpret_cast<void**>(&data_), all);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      throw std::runtime_error("reading needs " + std::to_string(all >> 20) +
                               " MiB of the GPU's memory, more than is free");
    }
    FOURSTEP_CUDA(status);
    FOURSTEP_CUDA(cudaMalloc(reinterpret_cast<void**>(&out_), sizeof *out_));
    FOURSTEP_CUDA(cudaMemset(data_, 0x5A, all));
    FOURSTEP_CUDA(cudaDeviceGetAttribute(&num_sms_, cudaDevAttrMultiProcessorCount, 0));
    FOURSTEP_CUDA(cudaDeviceSynchronize());
  }
  ~Reader() {
    FOURSTEP_CUDA(cudaFree(out_));
    FOURSTEP_CUDA(cudaFree(data_));
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Of reading every buffer once.
  double Microseconds(int32_t blocks_per_sm) {
    return clock_.Microseconds([&] { Read(blocks_per_sm); });
  }

  // Of one buffer.
  double MedianUs(int32_t blocks_per_sm) {
    return clock_.MedianUsOfPass([&] { Read(blocks_per_sm); }) / num_buffers_;
  }

 private:
  // Every buffer once.
  void Read(int32_t blocks_per_sm) {
    const dim3 grid(static_cast<unsigned>(blocks_per_sm * num_sms_)), block(kThreads);
    for (int32_t i = 0; i < num_buffers_; ++i) {
      const uint4* from = data_ + i * num_vectors_;
      cuda::Launch(ReadKernel, grid, block, 0, clock_.stream(), from, num_vectors_, out_);
    }
  }

  int64_t num_vectors_;  // of a buffer, 16 bytes each
  int32_t num_buffers_;
  int num_sms_ = 0;
  uint4* data_ = nullptr;
  uint32_t* out_ = nullptr;
  cuda::StreamClock clock_;
};

}  // namespace

double MeasureCudaReadGbps() {
  constexpr int64_t kBytes = int64_t{2} << 30;
  constexpr int kPasses = 8, kBlocksPerSm = 4;
  Reader reader(kBytes, 1);
  double best_us = 1e30;
  for (int pass = 0; pass < kPasses; ++pass) best_us = std::min(best_us, reader.Microseconds(kBlocksPerSm));
  return static_cast<double>(kBytes) * 1e-3 / best_us;
}

double MeasureCudaReadUs(int64_t bytes, int32_t num_buffers) {
  Reader reader(bytes, num_buffers);
  double best_us = 1e30;
  for (const int32_t blocks_per_sm : {1, 2, 4}) best_us = std::min(best_us, reader.MedianUs(blocks_per_sm));
  return best_us;
}

}  // namespace fourstep
