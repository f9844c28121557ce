// The paged cache, rotary embedding and causal attention.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "base/host_device.h"
#include "cuda/divisor.h"
#include "cuda/row_form.h"
#include "cuda/rows.h"
#include "cuda/step_view.h"

namespace fourstep::cuda {

inline constexpr int kGroupTokens = 16;    // positions that one warp attends to at a time
inline constexpr int kMaxSplits = 32;      // of the context of a row
inline constexpr int kMinSplitGroups = 8;  // groups that are worth a block
inline constexpr int kAttentionRows = 64;  // rows of a launch whose splits have blocks of their own
inline constexpr int kTileRows = 16;       // rows of one sequence that are computed together, at most
inline constexpr int kMaxTileDims = 128;   // padded_dim of a cache whose rows are

// One layer's cache. Keys lie by position, values by dimension within a group, as the tensor cores take them.
// BF16, or E4M3 in an order of its own within four dimensions of a key and within a group of values
// (cache_format.cuh).
struct CacheView {
  void* k;  // [num_blocks, num_kv_heads, groups_per_block * 16, padded_dim]
  void* v;  // [num_blocks, num_kv_heads, groups_per_block, padded_dim, 16]
  bool is_fp8;
  float k_scale, v_scale;  // FP8: of this layer
  const float* inv_freq;   // [head_dim / 2]
  float rope_factor;
  int32_t num_heads;
  Divisor num_kv_heads;
  int32_t head_dim;
  int32_t padded_dim;  // of 64; the rest is zero
  Divisor block_tokens, groups_per_block;

  FOURSTEP_HD int32_t heads_per_kv() const { return num_heads / num_kv_heads; }
};

// Partial results of splits, and who came last: [kAttentionRows, ...], sized by WorkspaceFloats / Counters.
struct AttentionWorkspace {
  float* partial;
  int32_t* arrived;  // zero between launches
};
int64_t WorkspaceFloats(const CacheView& cache);
int64_t WorkspaceCounters(const CacheView& cache);

// What the q and k heads of a row still need before attention: RMSNorm (where not null), then RoPE.
struct HeadNorms {
  const float* q = nullptr;  // [head_dim]
  const float* k = nullptr;  // [head_dim]
  float epsilon = 0;
};

// Writes step.turns of all rows. What rotates them is launched later, and reads turns after its wait.
void LaunchTurns(const CacheView& cache, const StepView& step, int32_t num_rows, cudaStream_t stream);

// qkv[r] = q heads | k heads | v heads: norms (where given), RoPE; k and v to the cache, q back into qkv.
void LaunchRotateAndAppend(const CacheView& cache, RowsView qkv, const StepView& step, const HeadNorms& norms,
                           int32_t num_rows, cudaStream_t stream);

// out[r] = attention of row r over positions 0..its own, in `form` (its blocks of 16 must not cross heads).
struct AttentionCall {
  CacheView cache;
  RowsView out, qkv;
  RowForm form;
  AttentionWorkspace workspace;
  // qkv is as the linear left it, and what LaunchRotateAndAppend does is done on the way, but for writing q
  // back: no two rows may then share a slot.
  bool rotates;
  HeadNorms norms;  // where it rotates
};

// The rows of a step as tiles of rows that are computed together (row_tiles.h).
struct TileList {
  const int32_t* tiles;           // [num_alone + num_shared, 2]: first row, number; null: all rows are alone
  int32_t num_alone, num_shared;  // tiles of one row, which come first, and others
  int32_t num_rows;
};

// `max_context`: no row's position is larger.
void LaunchAttention(const AttentionCall& call, const StepView& step, const TileList& rows,
                     int32_t max_context, cudaStream_t stream);

}  // namespace fourstep::cuda
