#include "cuda/read_bandwidth.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"

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

// Buffers that are read in turn, the stream that reads them, and its clock.
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
    FOURSTEP_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    FOURSTEP_CUDA(cudaEventCreate(&begin_));
    FOURSTEP_CUDA(cudaEventCreate(&end_));
    FOURSTEP_CUDA(cudaDeviceSynchronize());
  }
  ~Reader() {
    FOURSTEP_CUDA(cudaEventDestroy(end_));
    FOURSTEP_CUDA(cudaEventDestroy(begin_));
    FOURSTEP_CUDA(cudaStreamDestroy(stream_));
    FOURSTEP_CUDA(cudaFree(out_));
    FOURSTEP_CUDA(cudaFree(data_));
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Every buffer `passes` times.
  void Read(int32_t passes, int32_t blocks_per_sm) {
    const dim3 grid(static_cast<unsigned>(blocks_per_sm * num_sms_)), block(kThreads);
    for (int32_t i = 0; i < passes * num_buffers_; ++i) {
      const uint4* from = data_ + (i % num_buffers_) * num_vectors_;
      cuda::Launch(ReadKernel, grid, block, 0, stream_, from, num_vectors_, out_);
    }
  }

  cudaGraphExec_t Capture(int32_t passes, int32_t blocks_per_sm) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    FOURSTEP_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    Read(passes, blocks_per_sm);
    FOURSTEP_CUDA(cudaStreamEndCapture(stream_, &graph));
    FOURSTEP_CUDA(cudaGraphInstantiate(&exec, graph, 0));
    FOURSTEP_CUDA(cudaGraphDestroy(graph));
    FOURSTEP_CUDA(cudaGraphLaunch(exec, stream_));  // warm
    FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
    return exec;
  }

  // Of what `run` puts into the stream.
  template <class Run>
  double Microseconds(const Run& run) {
    FOURSTEP_CUDA(cudaEventRecord(begin_, stream_));
    run();
    FOURSTEP_CUDA(cudaGetLastError());
    FOURSTEP_CUDA(cudaEventRecord(end_, stream_));
    FOURSTEP_CUDA(cudaEventSynchronize(end_));
    float ms = 0;
    FOURSTEP_CUDA(cudaEventElapsedTime(&ms, begin_, end_));
    return ms * 1e3;
  }

  // Of one buffer: what two passes take longer than one, so that starts and ends of graphs drop out.
  double MedianUs(int32_t blocks_per_sm) {
    constexpr int kRepeats = 9, kReplays = 8;
    const cudaGraphExec_t one = Capture(1, blocks_per_sm), two = Capture(2, blocks_per_sm);
    const auto time = [&](cudaGraphExec_t graph) {
      return Microseconds([&] {
        for (int i = 0; i < kReplays; ++i) FOURSTEP_CUDA(cudaGraphLaunch(graph, stream_));
      });
    };
    std::vector<double> us;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      const double once = time(one), twice = time(two);
      us.push_back((twice - once) / (kReplays * num_buffers_));
    }
    FOURSTEP_CUDA(cudaGraphExecDestroy(one));
    FOURSTEP_CUDA(cudaGraphExecDestroy(two));
    std::nth_element(us.begin(), us.begin() + kRepeats / 2, us.end());
    return us[kRepeats / 2];
  }

 private:
  int64_t num_vectors_;  // of a buffer, 16 bytes each
  int32_t num_buffers_;
  int num_sms_ = 0;
  uint4* data_ = nullptr;
  uint32_t* out_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace

double MeasureCudaReadGbps() {
  constexpr int64_t kBytes = int64_t{2} << 30;
  constexpr int kPasses = 8, kBlocksPerSm = 4;
  Reader reader(kBytes, 1);
  double best_us = 1e30;
  for (int pass = 0; pass < kPasses; ++pass)
    best_us = std::min(best_us, reader.Microseconds([&] { reader.Read(1, kBlocksPerSm); }));
  return static_cast<double>(kBytes) * 1e-3 / best_us;
}

double MeasureCudaReadUs(int64_t bytes, int32_t num_buffers) {
  Reader reader(bytes, num_buffers);
  double best_us = 1e30;
  for (const int32_t blocks_per_sm : {1, 2, 4}) best_us = std::min(best_us, reader.MedianUs(blocks_per_sm));
  return best_us;
}

}  // namespace fourstep
