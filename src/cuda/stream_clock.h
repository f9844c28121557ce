// Times of what a stream of the GPU runs. Free of headers that nvcc cannot read.
#pragma once

#include <cuda_runtime.h>

#include <functional>

namespace fourstep::cuda {

// A stream of device 0 and its clock. Both functions return when the stream has ended.
class StreamClock {
 public:
  StreamClock();
  ~StreamClock();
  StreamClock(const StreamClock&) = delete;
  StreamClock& operator=(const StreamClock&) = delete;

  cudaStream_t stream() const { return stream_; }

  // Of what `run` puts into the stream.
  double Microseconds(const std::function<void()>& run);

  // Of what `pass` puts into the stream, captured in a graph: what two passes take longer than one, so that
  // starts and ends of graphs drop out; the median of several measurements. What `pass` throws is passed on.
  double MedianUsOfPass(const std::function<void()>& pass);

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace fourstep::cuda
