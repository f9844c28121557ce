// The paged cache, rotary embedding and causal attention.
#include <cmath>
#include <new>

#include "base/check.h"
#include "base/error.h"
#include "cpu/cpu_impl.h"
#include "formats/bfloat16.h"

namespace fourstep::cpu {

void CpuBackend::AllocateKvCache(const KvCacheShape& shape, const RopeTable& rope) {
  const AttentionShape& a = shape.attention;
  FOURSTEP_CHECK(a.num_kv_heads > 0 && a.num_heads % a.num_kv_heads == 0 && a.head_dim % 2 == 0 &&
                     rope.inv_freq.size() == static_cast<size_t>(a.head_dim) / 2,
                 "{} heads, {} kv heads of {}, {} frequencies", a.num_heads, a.num_kv_heads, a.head_dim,
                 rope.inv_freq.size());
  FOURSTEP_CHECK(shape.block_tokens > 0 && shape.num_blocks > 0 && shape.num_layers > 0);
  cache_shape_ = shape;
  rope_ = rope;
  const int64_t padded_tokens = RoundUp16(shape.block_tokens);
  k_head_values_ = padded_tokens * a.head_dim;
  v_head_values_ = padded_tokens * RoundUp16(a.head_dim);
  const int64_t num_heads = int64_t{shape.num_layers} * a.num_kv_heads * shape.num_blocks;
  try {
    k_cache_ = MappedMemory<uint16_t>(static_cast<size_t>(num_heads * k_head_values_));
    v_cache_ = MappedMemory<uint16_t>(static_cast<size_t>(num_heads * v_head_values_));
  } catch (const std::bad_alloc&) {
    throw Errorf("kv cache", "needs {} MiB of memory, more than there is: lower its size",
                 num_heads * (k_head_values_ + v_head_values_) >> 19);
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

// head[head_dim] in place, rounded to BF16. scratch: two times head_dim rounded up to 16, zero beyond
// head_dim.
void CpuBackend::NormAndRotate(float* head, int64_t row, const Vector* norm, float epsilon,
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
    head[i] = RoundToBFloat16(x[i] * c[i] - x[half + i] * s[i]);
    head[half + i] = RoundToBFloat16(x[half + i] * c[i] + x[i] * s[i]);
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
  const int64_t dim = a.head_dim, value_stride = RoundUp16(dim);
  ForShares(num_rows(), num_rows() * x.width * 8, [&](int64_t first, int64_t last, int) {
    std::vector<float> scratch(static_cast<size_t>(2 * value_stride));
    for (int64_t r = first; r < last; ++r) {
      const int32_t position = batch_->positions[static_cast<size_t>(r)];
      const int64_t block = CacheBlock(batch_->slots[static_cast<size_t>(r)], position);
      const int64_t in_block = position % cache_shape_.block_tokens, tile = in_block / 16,
                    lane = in_block % 16;
      for (int32_t h = 0; h < a.num_heads; ++h)
        NormAndRotate(x.row(r) + h * dim, r, q_weight, epsilon, scratch.data());
      for (int32_t h = 0; h < a.num_kv_heads; ++h) {
        float* k = x.row(r) + (a.num_heads + h) * dim;
        const float* v = k + a.num_kv_heads * dim;
        NormAndRotate(k, r, k_weight, epsilon, scratch.data());
        const int64_t at = (int64_t{layer} * a.num_kv_heads + h) * cache_shape_.num_blocks + block;
        uint16_t* k_to = k_cache_.data() + at * k_head_values_ + tile * 16 * dim + lane * 2;
        uint16_t* v_to = v_cache_.data() + at * v_head_values_ + in_block * value_stride;
        for (int64_t i = 0; i < dim; ++i) {
          k_to[(i / 2) * 32 + i % 2] = BFloat16::Encode(k[i]).bits;
          v_to[i] = BFloat16::Encode(v[i]).bits;
        }
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
  int64_t work_bytes = 0;
  for (int32_t r = 0; r < num_rows(); ++r) {
    const int64_t length = batch_->positions[static_cast<size_t>(r)] + 1;
    for (int64_t p = 0; p < length; p += cache_shape_.block_tokens)
      CacheBlock(batch_->slots[static_cast<size_t>(r)], static_cast<int32_t>(p));
    work_bytes += length * dim * 4 * a.num_heads;
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
                       .k = k_cache_.data() + head_at * k_head_values_,
                       .v = v_cache_.data() + head_at * v_head_values_,
                       .k_block_stride = k_head_values_,
                       .v_block_stride = v_head_values_,
                       .block_table = batch_->block_tables.data() + slot * batch_->max_blocks,
                       .scale = 1.0f / std::sqrt(static_cast<float>(a.head_dim)),
                       .scratch = attention_scratch_.data() + thread * scratch_size});
    }
  });
  ForShares(num_rows(), num_rows() * to.width * 4, [&](int64_t first, int64_t last, int) {
    for (int64_t r = first; r < last; ++r) StoreRow(to, r, consumer);
  });
}

}  // namespace fourstep::cpu
