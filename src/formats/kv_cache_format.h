// What the KV cache holds: BF16, or E4M3 times a scale that a layer has for its keys and one for its values.
// docs/numerics.md has the contract.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fourstep {

enum class KvCacheFormat { kBf16, kFp8 };

inline constexpr std::array kKvCacheFormats = {KvCacheFormat::kBf16, KvCacheFormat::kFp8};

inline constexpr std::string_view KvCacheFormatName(KvCacheFormat format) {
  return format == KvCacheFormat::kFp8 ? "fp8" : "bf16";
}

inline std::vector<std::string> KvCacheFormatNames() {
  std::vector<std::string> names;
  for (const KvCacheFormat format : kKvCacheFormats) names.emplace_back(KvCacheFormatName(format));
  return names;
}

// Nothing for an empty name: what the checkpoint asks for. Throws Error for any other.
inline std::optional<KvCacheFormat> ParseKvCacheFormat(const std::string& name) {
  if (name.empty()) return std::nullopt;
  for (const KvCacheFormat format : kKvCacheFormats) {
    if (name == KvCacheFormatName(format)) return format;
  }
  throw Errorf("kv_cache", "\"{}\" is not one of bf16, fp8", Printable(name));
}

// Bytes of an element.
inline constexpr int KvCacheValueBytes(KvCacheFormat format) {
  return format == KvCacheFormat::kFp8 ? 1 : 2;
}

// Of a layer's FP8 cache: a key or value is e4m3 * scale.
struct KvScales {
  float k = 1, v = 1;
};

// So far from the ends of fp32 that a scale's products with codes and other factors are numbers.
inline constexpr float kMinKvScale = 0x1p-96f, kMaxKvScale = 0x1p96f;
inline constexpr bool IsKvScale(float x) {
  return x >= kMinKvScale && x <= kMaxKvScale;
}

}  // namespace fourstep
