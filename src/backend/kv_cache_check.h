// What every backend asks of a cache before it allocates one.
#pragma once

#include "backend/backend.h"
#include "base/check.h"

namespace fourstep {

inline void CheckKvCache(const KvCacheShape& shape, const RopeTable& rope) {
  const AttentionShape& a = shape.attention;
  FOURSTEP_CHECK(a.num_kv_heads > 0 && a.num_heads % a.num_kv_heads == 0 && a.head_dim % 2 == 0 &&
                     rope.inv_freq.size() == static_cast<size_t>(a.head_dim) / 2,
                 "{} heads, {} kv heads of {}, {} frequencies", a.num_heads, a.num_kv_heads, a.head_dim,
                 rope.inv_freq.size());
  FOURSTEP_CHECK(shape.block_tokens > 0 && shape.num_blocks > 0 && shape.num_layers > 0);
  const bool may_have_scales = shape.format == KvCacheFormat::kFp8;
  FOURSTEP_CHECK(shape.scales.empty() ||
                     (may_have_scales && shape.scales.size() == static_cast<size_t>(shape.num_layers)),
                 "scales of {} layers of {}", shape.scales.size(), shape.num_layers);
  for (const KvScales& scales : shape.scales)
    FOURSTEP_CHECK(IsKvScale(scales.k) && IsKvScale(scales.v), "scales {} and {}", scales.k, scales.v);
}

}  // namespace fourstep
