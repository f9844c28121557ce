#include "cuda/stream_clock.h"

#include <algorithm>
#include <vector>

#include "cuda/launch.h"

namespace fourstep::cuda {
namespace {

// A graph of what `pass` puts into `stream`, `passes` times, warm.
class PassGraph {
 public:
  PassGraph(cudaStream_t stream, const std::function<void()>& pass, int passes) : stream_(stream) {
    FOURSTEP_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    try {
      for (int i = 0; i < passes; ++i) pass();
    } catch (...) {
      if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess) (void)cudaGraphDestroy(graph);
      (void)cudaGetLastError();
      throw;
    }
    FOURSTEP_CUDA(cudaStreamEndCapture(stream_, &graph));
    FOURSTEP_CUDA(cudaGraphInstantiate(&exec_, graph, 0));
    FOURSTEP_CUDA(cudaGraphDestroy(graph));
    Launch();
    FOURSTEP_CUDA(cudaStreamSynchronize(stream_));
  }
  ~PassGraph() { FOURSTEP_CUDA(cudaGraphExecDestroy(exec_)); }
  PassGraph(const PassGraph&) = delete;
  PassGraph& operator=(const PassGraph&) = delete;

  void Launch() const { FOURSTEP_CUDA(cudaGraphLaunch(exec_, stream_)); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace

StreamClock::StreamClock() {
  FOURSTEP_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  FOURSTEP_CUDA(cudaEventCreate(&begin_));
  FOURSTEP_CUDA(cudaEventCreate(&end_));
}

StreamClock::~StreamClock() {
  FOURSTEP_CUDA(cudaEventDestroy(end_));
  FOURSTEP_CUDA(cudaEventDestroy(begin_));
  FOURSTEP_CUDA(cudaStreamDestroy(stream_));
}

double StreamClock::Microseconds(const std::function<void()>& run) {
  FOURSTEP_CUDA(cudaEventRecord(begin_, stream_));
  run();
  FOURSTEP_CUDA(cudaGetLastError());
  FOURSTEP_CUDA(cudaEventRecord(end_, stream_));
  FOURSTEP_CUDA(cudaEventSynchronize(end_));
  float ms = 0;
  FOURSTEP_CUDA(cudaEventElapsedTime(&ms, begin_, end_));
  return ms * 1e3;
}

double StreamClock::MedianUsOfPass(const std::function<void()>& pass) {
  constexpr int kRepeats = 9, kReplays = 8;
  const PassGraph one(stream_, pass, 1), two(stream_, pass, 2);
  const auto time = [&](const PassGraph& graph) {
    return Microseconds([&] {
      for (int i = 0; i < kReplays; ++i) graph.Launch();
    });
  };
  std::vector<double> us;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const double once = time(one), twice = time(two);
    us.push_back((twice - once) / kReplays);
  }
  std::nth_element(us.begin(), us.begin() + kRepeats / 2, us.end());
  return us[kRepeats / 2];
}

}  // namespace fourstep::cuda
