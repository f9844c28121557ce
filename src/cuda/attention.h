// The paged cache, rotary embedding and causal attention.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/row_form.h"
#include "cuda/rows.h"
#include "cuda/step_view.h"

namespace fourstep::cuda {

inline constexpr int kGroupTokens = 16;    // positions that one warp attends to at a time
inline constexpr int kMaxSplits = 32;      // blocks that share the context of a row
inline constexpr int kMinSplitGroups = 8;  // groups that are worth a block
inline constexpr int kAttentionRows = 64;  // rows of a launch

// One layer's cache. Keys lie by position, values by dimension within a group, as the tensor cores take them.
struct CacheView {
  uint16_t* k;            // [num_blocks, num_kv_heads, groups_per_block * 16, padded_dim] BF16
  uint16_t* v;            // [num_blocks, num_kv_heads, groups_per_block, padded_dim, 16] BF16
  const float* inv_freq;  // [head_dim / 2]
  float rope_factor;
  int32_t num_heads, num_kv_heads, head_dim;
  int32_t padded_dim;  // of 64; the rest is zero
  int32_t block_tokens, groups_per_block;

  int32_t heads_per_kv() const { return num_heads / num_kv_heads; }
};

// Partial results of splits, and who came last: [kAttentionRows, ...], sized by WorkspaceFloats / Counters.
struct AttentionWorkspace {
  float* partial;
  int32_t* arrived;  // zero between launches
};
int64_t WorkspaceFloats(const CacheView& cache);
int64_t WorkspaceCounters(const CacheView& cache);

// qkv[r] = q heads | k heads | v heads: norms (where given), RoPE; k and v to the cache, q back into qkv.
void LaunchRotateAndAppend(const CacheView& cache, RowsView qkv, const StepView& step, const float* q_norm,
                           const float* k_norm, float epsilon, int32_t num_rows, cudaStream_t stream);

// out[r] = attention of row r over positions 0..its own, in `form` (its blocks of 16 must not cross heads).
// `max_context`: no row's position is larger.
void LaunchAttention(const CacheView& cache, RowsView out, RowsView qkv, const StepView& step,
                     const RowForm& form, const AttentionWorkspace& workspace, int32_t max_context,
                     int32_t num_rows, cudaStream_t stream);

}  // namespace fourstep::cuda
