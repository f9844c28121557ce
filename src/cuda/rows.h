// Operations on single rows: embedding, RMSNorm, the form that a consumer reads.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/row_form.h"
#include "cuda/step_view.h"

namespace fourstep::cuda {

// Rows of BF16; columns from the width up to the stride (a multiple of 64) are zero.
struct RowsView {
  uint16_t* values;  // [max_rows, stride]
  int32_t width, stride;
};

// Ends before any kernel that is launched later begins, and begins when all before it have ended.
void LaunchFence(cudaStream_t stream);

// out[r] = table[token of row r]; a row of kLastDrawnToken takes last_tokens[its slot], 0 where that is -1.
// table [vocab, stride of out].
void LaunchEmbed(RowsView out, const uint16_t* table, const StepView& step, const int32_t* last_tokens,
                 int32_t num_rows, cudaStream_t stream);

// The widest rows that are normed: a block holds one in its registers.
inline constexpr int kMaxNormColumns = 32768;

// out[r] = x[r] / rms(x[r]) * weight in `form`. weight [stride] is zero from the width on. With `rows`,
// x[rows[r]]. A stride of up to kMaxNormColumns.
void LaunchNorm(RowsView out, RowsView x, const float* weight, float epsilon, const RowForm& form,
                const int32_t* rows, int32_t num_rows, cudaStream_t stream);

// x[r] in `form`, in place.
void LaunchEncode(RowsView x, const RowForm& form, int32_t num_rows, cudaStream_t stream);

}  // namespace fourstep::cuda
