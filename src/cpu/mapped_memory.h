// Zeroed pages for weights and caches: 2 MiB pages where the kernel has them, and none touched before use.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <utility>

namespace fourstep::cpu {

template <typename T>
class MappedMemory {
 public:
  MappedMemory() = default;
  // Throws std::bad_alloc.
  explicit MappedMemory(size_t count) : size_bytes_(count * sizeof(T)) {
    if (count == 0) return;
    void* p = mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    if (size_bytes_ >= size_t{4} << 20) madvise(p, size_bytes_, MADV_HUGEPAGE);
    data_ = static_cast<T*>(p);
  }
  ~MappedMemory() {
    if (data_ != nullptr) munmap(data_, size_bytes_);
  }
  MappedMemory(MappedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  MappedMemory& operator=(MappedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }

 private:
  T* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace fourstep::cpu
