// A safetensors file: what is not refused has views that lie in the file, cover its data and are as large as
// their shapes say.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/error.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const auto file = std::as_bytes(std::span(data, size_bytes));
  try {
    size_t data_bytes = 0;
    unsigned sum = 0;
    for (const auto& [name, view] : fourstep::ParseSafetensors(file, "input")) {
      uint64_t expected_bytes = static_cast<uint64_t>(fourstep::TensorTypeBytes(view.type));
      for (const int64_t dimension : view.shape) expected_bytes *= static_cast<uint64_t>(dimension);
      if (expected_bytes != view.bytes.size()) std::abort();
      for (const std::byte byte : view.bytes) sum += static_cast<unsigned>(byte);  // ASan watches the reads
      data_bytes += view.bytes.size();
    }
    uint64_t header_bytes = 0;
    for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | data[i];
    if (8 + header_bytes + data_bytes != size_bytes) std::abort();
    volatile unsigned used = sum;
    (void)used;
  } catch (const fourstep::Error&) {
  }
  return 0;
}
