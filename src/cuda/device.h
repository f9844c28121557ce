// Owned memory of the device, and of the host where the device reaches it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "cuda/launch.h"

namespace fourstep::cuda {

// `count` values in device memory, zero at first.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  // Throws Error where the device has not enough memory: that is the user's to mend.
  DeviceArray(size_t count, const char* what) : count_(count) {
    if (count == 0) return;
    const cudaError_t status = cudaMalloc(reinterpret_cast<void**>(&data_), bytes());
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      throw Errorf(what, "needs {} MiB of the GPU's memory, more than is free",
                   (bytes() + (size_t{1} << 20) - 1) >> 20);
    }
    FOURSTEP_CUDA(status);
    FOURSTEP_CUDA(cudaMemset(data_, 0, bytes()));
    WaitForDefaultStream();
  }
  DeviceArray(std::span<const T> values, const char* what) : DeviceArray(values.size(), what) {
    if (count_ == 0) return;
    FOURSTEP_CUDA(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
    WaitForDefaultStream();
  }
  DeviceArray(const std::vector<T>& values, const char* what)
      : DeviceArray(std::span<const T>(values), what) {}
  DeviceArray(DeviceArray&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), count_(std::exchange(o.count_, 0)) {}
  DeviceArray& operator=(DeviceArray&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(count_, o.count_);
    return *this;
  }
  ~DeviceArray() { (void)cudaFree(data_); }

  T* data() const { return data_; }
  size_t size() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }

  // Of the first `count` values; waits for the device.
  std::vector<T> Read(size_t count) const {
    FOURSTEP_CHECK(count <= count_);
    std::vector<T> values(count);
    if (count > 0) FOURSTEP_CUDA(cudaMemcpy(values.data(), data_, count * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  // The backend's own stream does not wait for the default one, and the calls above may return early.
  static void WaitForDefaultStream() { FOURSTEP_CUDA(cudaStreamSynchronize(nullptr)); }

  T* data_ = nullptr;
  size_t count_ = 0;
};

// `count` values of host memory that the device reads and writes by itself; zero at first.
template <class T>
class PinnedArray {
 public:
  PinnedArray() = default;
  explicit PinnedArray(size_t count) : count_(count) {
    FOURSTEP_CUDA(cudaHostAlloc(reinterpret_cast<void**>(&data_), count * sizeof(T), cudaHostAllocMapped));
    for (size_t i = 0; i < count; ++i) data_[i] = T{};
    FOURSTEP_CUDA(cudaHostGetDevicePointer(reinterpret_cast<void**>(&device_data_), data_, 0));
  }
  PinnedArray(PinnedArray&& o) noexcept { *this = std::move(o); }
  PinnedArray& operator=(PinnedArray&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(device_data_, o.device_data_);
    std::swap(count_, o.count_);
    return *this;
  }
  ~PinnedArray() { (void)cudaFreeHost(data_); }

  T* data() const { return data_; }
  T* device_data() const { return device_data_; }
  size_t size() const { return count_; }

 private:
  T* data_ = nullptr;
  T* device_data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace fourstep::cuda
