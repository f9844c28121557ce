// cuBLAS, the vendor's library of matrix products, where the machine has it: what kernels are compared with.
// It is loaded as the program runs; neither building nor anything else needs it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/device.h"
#include "formats/bfloat16.h"

namespace fourstep::cuda {

// A handle of the library for one stream of device 0.
class Cublas {
 public:
  // Throws Error where there is no such library, or it refuses, or the device has no memory for its
  // workspace.
  explicit Cublas(cudaStream_t stream);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // y [batch, outputs] = x [batch, inputs] times the transpose of weight [outputs, inputs], all on the
  // device, summed in fp32: put into the stream, which may be capturing once it has run the same. Throws
  // Error where the library refuses.
  void Multiply(BFloat16* y, const BFloat16* x, const BFloat16* weight, int64_t outputs, int64_t inputs,
                int64_t batch) const;

 private:
  struct Functions;
  struct Context;  // the library's

  static const Functions& Loaded();

  const Functions& functions_;
  Context* handle_ = nullptr;
  DeviceArray<uint8_t> workspace_;
};

}  // namespace fourstep::cuda
