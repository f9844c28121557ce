// The paged cache, rotary embedding and causal attention.
#include <cmath>
#include <new>

#include "backend/kv_cache_check.h"
#include "base/check.h"
#include "base/error.h"
#include "cpu/cpu_impl.h"
#include "formats/bfloat16.h"
#include "formats/e4m3.h"

namespace fourstep::cpu {

void CpuBackend::AllocateKvCache(const KvCacheShape& shape, const RopeTable& rope) {
  const AttentionShape& a = shape.attention;
  CheckKvCache(shape, rope);
  cache_shape_ = shape;
  rope_ = rope;
  const int64_t padded_tokens = RoundUp16(shape.block_tokens);
  k_head_values_ = padded_tokens * a.head_dim;
  v_head_values_ = padded_tokens * RoundUp16(a.head_dim);
  const int64_t num_heads = int64_t{shape.num_layers} * a.num_kv_heads * shape.num_blocks;
  const int64_t value_bytes = KvCacheValueBytes(shape.format);
  try {
    k_cache_ = MappedMemory<uint8_t>(static_cast<size_t>(num_heads * k_head_values_ * value_bytes));
    v_cache_ = MappedMemory<uint8_t>(static_cast<size_t>(num_heads * v_head_values_ * value_bytes));
  } catch (const std::bad_alloc&) {
    throw Errorf("kv cache", "needs {} MiB of memory, more than there is: lower its size",
                 num_heads * (k_head_values_ + v_head_values_) * value_bytes >> 20);
  }
  const int64_t group = a.num_heads / a.num_kv_heads;
  attention_scratch_.assign(
      static_cast<size_t>(threads_.num_threads() * group * (RoundUp16(a.head_dim) + 48)), 0.0f);
}

int32_t CpuBackend::CacheBlock(int32_t slot, int32_t position) const {
  const int32_t index = position / cache_shape_.block_tokens;
  FOURSTEP_CHECK(slot >= 0 && slot < cache_shape_.max_slots && position >= 0 && index < batch_->max_blocks,
                 "slot {}, position {}", slot, position);
  const int32_t block =
      batch_->block_tables[static_cast<size_t>(slot) * static_cast<size_t>(batch_->max_blocks) +
                           static_cast<size_t>(index)];
  FOURSTEP_CHECK(block >= 0 && block < cache_shape_.num_blocks, "cache block {}", block);
  return block;
}

// head[head_dim] in place, rounded to BF16; returns where in scratch it stands in fp32. scratch: two times
// head_dim rounded up to 16, zero beyond head_dim.
const float* CpuBackend::NormAndRotate(float* head, int64_t row, const Vector* norm, float epsilon,
                                       float* scratch) const {
  const int64_t dim = cache_shape_.attention.head_dim, half = dim / 2;
  float* x = scratch;
  std::copy(head, head + dim, x);
  if (norm != nullptr) {
    FOURSTEP_CHECK(norm->n == dim, "norm of {} weights for heads of {}", norm->n, dim);
    float* normed = scratch + RoundUp16(dim);
    kernels_.rms_norm(x, norm->values.data(), dim, epsilon, normed);
    x = normed;
  }
  const float *c = cos_.data() + row * half, *s = sin_.data() + row * half;
  for (int64_t i = 0; i < half; ++i) {
    const float first = x[i] * c[i] - x[half + i] * s[i];
    x[half + i] = x[half + i] * c[i] + x[i] * s[i];
    x[i] = first;
  }
  for (int64_t i = 0; i < dim; ++i) head[i] = RoundToBFloat16(x[i]);
  return x;
}

// k and v [head_dim], in fp32, of one head at a position of a cache block, by index of (layer, head, block).
void CpuBackend::Append(int64_t at, int64_t in_block, const float* k, const float* v,
                        const KvScales& scales) {
  const int64_t dim = cache_shape_.attention.head_dim, tile = in_block / 16, lane = in_block % 16;
  const int64_t k_first = at * k_head_values_ + tile * 16 * dim + lane * 2,
                v_first = at * v_head_values_ + in_block * RoundUp16(dim);
  const auto k_at = [&](int64_t i) { return k_first + (i / 2) * 32 + i % 2; };
  if (cache_shape_.format == KvCacheFormat::kFp8) {
    for (int64_t i = 0; i < dim; ++i) {
      k_cache_.data()[k_at(i)] = E4M3::Encode(k[i] / scales.k);
      v_cache_.data()[v_first + i] = E4M3::Encode(v[i] / scales.v);
    }
  } else {
    auto *k_to = reinterpret_cast<uint16_t*>(k_cache_.data()),
         *v_to = reinterpret_cast<uint16_t*>(v_cache_.data());
    for (int64_t i = 0; i < dim; ++i) {
      k_to[k_at(i)] = BFloat16::Encode(k[i]).bits;
      v_to[v_first + i] = BFloat16::Encode(v[i]).bits;
    }
  }
}

void CpuBackend::RotateAndAppend(ActivationId qkv, int32_t layer, VectorId q_norm, VectorId k_norm,
                                 float epsilon) {
  const AttentionShape& a = cache_shape_.attention;
  Rows& x = rows(qkv);
  FOURSTEP_CHECK(x.consumer.id < 0 && x.width == a.qkv_width(), "qkv of width {}", x.width);
  FOURSTEP_CHECK(layer >= 0 && layer < cache_shape_.num_layers, "layer {}", layer);
  const Vector* q_weight = q_norm.id >= 0 ? &vector(q_norm) : nullptr;
  const Vector* k_weight = k_norm.id >= 0 ? &vector(k_norm) : nullptr;
  const int64_t dim = a.head_dim;
  const KvScales scales = cache_shape_.scales_of(layer);
  ForShares(num_rows(), num_rows() * x.width * 8, [&](int64_t first, int64_t last, int) {
    std::vector<float> scratch(static_cast<size_t>(2 * RoundUp16(dim)));
    for (int64_t r = first; r < last; ++r) {
      const int32_t position = batch_->positions[static_cast<size_t>(r)];
      const int64_t block = CacheBlock(batch_->slots[static_cast<size_t>(r)], position);
      for (int32_t h = 0; h < a.num_heads; ++h)
        NormAndRotate(x.row(r) + h * dim, r, q_weight, epsilon, scratch.data());
      for (int32_t h = 0; h < a.num_kv_heads; ++h) {
        float* k = x.row(r) + (a.num_heads + h) * dim;
        const float* v = k + a.num_kv_heads * dim;
        const float* rotated = NormAndRotate(k, r, k_weight, epsilon, scratch.data());
        const int64_t at = (int64_t{layer} * a.num_kv_heads + h) * cache_shape_.num_blocks + block;
        Append(at, position % cache_shape_.block_tokens, rotated, v, scales);
      }
    }
  });
}

void CpuBackend::Attention(ActivationId out, ActivationId qkv, int32_t layer, LinearId consumer) {
  const AttentionShape& a = cache_shape_.attention;
  const Rows& x = rows(qkv);
  Rows& to = rows(out);
  const int64_t dim = a.head_dim, group = a.num_heads / a.num_kv_heads, value_stride = RoundUp16(dim);
  FOURSTEP_CHECK(x.width == a.qkv_width() && to.width == a.num_heads * dim, "attention of width {}",
                 to.width);
  SetForm(to, consumer);
  const KvScales scales = cache_shape_.scales_of(layer);
  const int64_t value_bytes = KvCacheValueBytes(cache_shape_.format);
  int64_t work_bytes = 0;
  for (int32_t r = 0; r < num_rows(); ++r) {
    const int64_t length = batch_->positions[static_cast<size_t>(r)] + 1;
    for (int64_t p = 0; p < length; p += cache_shape_.block_tokens)
      CacheBlock(batch_->slots[static_cast<size_t>(r)], static_cast<int32_t>(p));
    work_bytes += length * dim * 2 * value_bytes * a.num_heads;
  }
  ForShares(int64_t{num_rows()} * a.num_kv_heads, work_bytes, [&](int64_t first, int64_t last, int thread) {
    const int64_t scratch_size = group * (value_stride + 48);
    for (int64_t i = first; i < last; ++i) {
      const int64_t r = i / a.num_kv_heads, h = i % a.num_kv_heads;
      const int64_t head_at = (int64_t{layer} * a.num_kv_heads + h) * cache_shape_.num_blocks;
      const int64_t slot = batch_->slots[static_cast<size_t>(r)];
      kernels_.attend({.q = x.row(r) + h * group * dim,
                       .out = to.row(r) + h * group * dim,
                       .num_heads = static_cast<int32_t>(group),
                       .head_dim = a.head_dim,
                       .value_stride = static_cast<int32_t>(value_stride),
                       .length = batch_->positions[static_cast<size_t>(r)] + 1,
                       .block_tokens = cache_shape_.block_tokens,
                       .is_fp8 = cache_shape_.format == KvCacheFormat::kFp8,
                       .k = k_cache_.data() + head_at * k_head_values_ * value_bytes,
                       .v = v_cache_.data() + head_at * v_head_values_ * value_bytes,
                       .k_block_stride = k_head_values_,
                       .v_block_stride = v_head_values_,
                       .block_table = batch_->block_tables.data() + slot * batch_->max_blocks,
                       .scale = scales.k / std::sqrt(static_cast<float>(a.head_dim)),
                       .value_scale = scales.v,
                       .scratch = attention_scratch_.data() + thread * scratch_size});
    }
  });
  ForShares(num_rows(), num_rows() * to.width * 4, [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) StoreRow(to, r, consumer);
  });
}

}  // namespace fourstep::cpu
