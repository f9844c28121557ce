// Numbers of a cache in its format.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "formats/bfloat16.h"
#include "formats/e4m3.h"
#include "formats/kv_cache_format.h"

namespace fourstep {

class CachedValues {
 public:
  // `count` zeros. Throws std::bad_alloc.
  void Allocate(size_t count, KvCacheFormat format) {
    format_ = format;
    bytes_.assign(count * static_cast<size_t>(KvCacheValueBytes(format)), 0);
  }
  void Store(size_t i, float value, float scale) {
    if (format_ == KvCacheFormat::kFp8) {
      bytes_[i] = E4M3::Encode(value / scale);
    } else {
      const BFloat16 rounded = BFloat16::Encode(value);
      std::memcpy(&bytes_[2 * i], &rounded.bits, 2);
    }
  }
  double Load(size_t i, float scale) const {
    if (format_ == KvCacheFormat::kFp8) return double{E4M3::Decode(bytes_[i])} * scale;
    BFloat16 stored{};
    std::memcpy(&stored.bits, &bytes_[2 * i], 2);
    return BFloat16::Decode(stored);
  }

 private:
  KvCacheFormat format_ = KvCacheFormat::kBf16;
  std::vector<uint8_t> bytes_;
};

}  // namespace fourstep
