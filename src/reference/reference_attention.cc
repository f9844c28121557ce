// The paged cache, rotary embedding and causal attention.
#include <algorithm>
#include <cmath>
#include <new>

#include "backend/kv_cache_check.h"
#include "base/check.h"
#include "base/error.h"
#include "reference/reference_impl.h"

namespace fourstep {

void ReferenceBackend::AllocateKvCache(const KvCacheShape& shape, const RopeTable& rope) {
  const AttentionShape& a = shape.attention;
  CheckKvCache(shape, rope);
  const size_t count = static_cast<size_t>(shape.num_layers) * static_cast<size_t>(shape.num_blocks) *
                       static_cast<size_t>(shape.block_tokens) * static_cast<size_t>(a.num_kv_heads) *
                       static_cast<size_t>(a.head_dim);
  cache_shape_ = shape;
  rope_ = rope;
  try {
    k_cache_.Allocate(count, shape.format);
    v_cache_.Allocate(count, shape.format);
  } catch (const std::bad_alloc&) {
    throw Errorf("kv cache", "needs {} MiB of memory, more than there is: lower its size",
                 2 * count * static_cast<size_t>(KvCacheValueBytes(shape.format)) >> 20);
  }
}

size_t ReferenceBackend::CacheOffset(int32_t layer, int32_t slot, int32_t position, int32_t head) const {
  const KvCacheShape& s = cache_shape_;
  const int32_t index = position / s.block_tokens;
  FOURSTEP_CHECK(layer >= 0 && layer < s.num_layers && slot >= 0 && slot < s.max_slots && position >= 0 &&
                     index < batch_->max_blocks,
                 "layer {}, slot {}, position {}", layer, slot, position);
  const int32_t block =
      batch_->block_tables[static_cast<size_t>(slot) * static_cast<size_t>(batch_->max_blocks) +
                           static_cast<size_t>(index)];
  FOURSTEP_CHECK(block >= 0 && block < s.num_blocks, "cache block {}", block);
  const size_t row =
      (static_cast<size_t>(layer) * static_cast<size_t>(s.num_blocks) + static_cast<size_t>(block)) *
          static_cast<size_t>(s.block_tokens) +
      static_cast<size_t>(position % s.block_tokens);
  return (row * static_cast<size_t>(s.attention.num_kv_heads) + static_cast<size_t>(head)) *
         static_cast<size_t>(s.attention.head_dim);
}

void ReferenceBackend::NormAndRotate(std::span<BFloat16> head, int32_t position, VectorId norm,
                                     double epsilon, std::span<double> scratch) const {
  if (norm.id >= 0) {
    NormRow(head, vector(norm), epsilon, scratch);
  } else {
    for (size_t i = 0; i < head.size(); ++i) scratch[i] = BFloat16::Decode(head[i]);
  }
  const size_t half = head.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<float>(position) * rope_.inv_freq[i];
    const double c = std::cos(angle) * rope_.attention_factor, s = std::sin(angle) * rope_.attention_factor;
    const double first = scratch[i] * c - scratch[half + i] * s;
    scratch[half + i] = scratch[half + i] * c + scratch[i] * s;
    scratch[i] = first;
  }
  for (size_t i = 0; i < head.size(); ++i) head[i] = BFloat16::Encode(static_cast<float>(scratch[i]));
}

void ReferenceBackend::RotateAndAppend(ActivationId qkv, int32_t layer, VectorId q_norm, VectorId k_norm,
                                       float epsilon) {
  const AttentionShape& a = cache_shape_.attention;
  Rows& x = rows(qkv);
  FOURSTEP_CHECK(x.consumer.id < 0 && x.width == a.qkv_width(), "qkv of width {}", x.width);
  const auto dim = static_cast<size_t>(a.head_dim);
  const KvScales scales = cache_shape_.scales_of(layer);
  std::vector<double> scratch(dim);
  for (int32_t r = 0; r < num_rows(); ++r) {
    const int32_t position = batch_->positions[static_cast<size_t>(r)];
    const auto head = [&](int32_t h) {
      return std::span(x.values).subspan(
          static_cast<size_t>(r) * static_cast<size_t>(x.width) + static_cast<size_t>(h) * dim, dim);
    };
    for (int32_t h = 0; h < a.num_heads; ++h) NormAndRotate(head(h), position, q_norm, epsilon, scratch);
    for (int32_t h = 0; h < a.num_kv_heads; ++h) {
      const std::span<BFloat16> k = head(a.num_heads + h), v = head(a.num_heads + a.num_kv_heads + h);
      NormAndRotate(k, position, k_norm, epsilon, scratch);
      const size_t to = CacheOffset(layer, batch_->slots[static_cast<size_t>(r)], position, h);
      for (size_t i = 0; i < dim; ++i) {
        k_cache_.Store(to + i, static_cast<float>(scratch[i]), scales.k);
        v_cache_.Store(to + i, BFloat16::Decode(v[i]), scales.v);
      }
    }
  }
}

void ReferenceBackend::Attention(ActivationId out, ActivationId qkv, int32_t layer, LinearId consumer) {
  const AttentionShape& a = cache_shape_.attention;
  const Rows& x = rows(qkv);
  const auto dim = static_cast<size_t>(a.head_dim);
  const double scale = 1 / std::sqrt(static_cast<double>(a.head_dim));
  const KvScales scales = cache_shape_.scales_of(layer);
  std::vector<double> row(static_cast<size_t>(a.num_heads) * dim), weights;
  for (int32_t r = 0; r < num_rows(); ++r) {
    const int32_t slot = batch_->slots[static_cast<size_t>(r)];
    const int32_t length = batch_->positions[static_cast<size_t>(r)] + 1;
    weights.resize(static_cast<size_t>(length));
    std::fill(row.begin(), row.end(), 0.0);
    for (int32_t h = 0; h < a.num_heads; ++h) {
      const int32_t kv_head = h / (a.num_heads / a.num_kv_heads);
      const BFloat16* q = x.values.data() + r * x.width + h * a.head_dim;
      double max = -INFINITY, sum = 0;
      for (int32_t t = 0; t < length; ++t) {
        const size_t k = CacheOffset(layer, slot, t, kv_head);
        double dot = 0;
        for (size_t i = 0; i < dim; ++i) dot += BFloat16::Decode(q[i]) * k_cache_.Load(k + i, scales.k);
        weights[static_cast<size_t>(t)] = dot * scale;
        max = std::max(max, dot * scale);
      }
      for (double& w : weights) sum += w = std::exp(w - max);
      for (int32_t t = 0; t < length; ++t) {
        const size_t v = CacheOffset(layer, slot, t, kv_head);
        for (size_t i = 0; i < dim; ++i) {
          row[static_cast<size_t>(h) * dim + i] +=
              weights[static_cast<size_t>(t)] / sum * v_cache_.Load(v + i, scales.v);
        }
      }
    }
    StoreRow(rows(out), r, row, consumer);
  }
}

}  // namespace fourstep
