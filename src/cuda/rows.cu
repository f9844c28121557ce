#include "cuda/rows.h"

#include <type_traits>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/row_form.cuh"

namespace fourstep::cuda {
namespace {

constexpr int kNormWarps = 16, kNormThreads = kNormWarps * kWarpLanes;
constexpr int kChunkColumns = 8;  // 16 bytes; two lanes hold a block of NVFP4

__device__ __forceinline__ void UnpackChunk(const uint4& packed, float (&values)[kChunkColumns]) {
  const uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = Bf16Low(words[i]);
    values[2 * i + 1] = Bf16High(words[i]);
  }
}

// `sum` and the squares of a chunk.
__device__ __forceinline__ float AddSquares(float sum, const uint4& packed) {
  float values[kChunkColumns];
  UnpackChunk(packed, values);
#pragma unroll
  for (const float v : values) sum = fmaf(v, v, sum);
  return sum;
}

// What a row is multiplied by. `warp_sums` [kNormWarps] in shared memory; every lane gets it.
__device__ __forceinline__ float NormFactor(const float* warp_sums, int width, float epsilon) {
  const int lane = LaneIndex();
  const float sum = WarpSum(lane < kNormWarps ? warp_sums[lane] : 0.0f);
  return 1.0f / sqrtf(sum / static_cast<float>(width) + epsilon);
}

// `values` of columns first .. first + 7, in the form of the consumer, packed. All lanes must come.
__device__ __forceinline__ uint4 PackForConsumer(float (&values)[kChunkColumns], int first,
                                                 const RowForm& form) {
  float amax = 0;
#pragma unroll
  for (int i = 0; i < kChunkColumns; ++i) {
    values[i] = RoundForConsumer(values[i], first + i, form);
    amax = fmaxf(amax, fabsf(values[i]));
  }
  if (form.is_nvfp4) {
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, 1));
    QuantizePartOfBlock(values, amax, form.inverse_scale);
  }
  return {PackBf16(values[0], values[1]), PackBf16(values[2], values[3]), PackBf16(values[4], values[5]),
          PackBf16(values[6], values[7])};
}

// A chunk of a normed row in the form of the consumer. `weight`: of its columns; all lanes must come.
__device__ __forceinline__ uint4 NormChunk(const uint4& packed, float factor, const float4 (&weight)[2],
                                           int first, const RowForm& form) {
  float values[kChunkColumns];
  UnpackChunk(packed, values);
  const float w[kChunkColumns] = {weight[0].x, weight[0].y, weight[0].z, weight[0].w,
                                  weight[1].x, weight[1].y, weight[1].z, weight[1].w};
#pragma unroll
  for (int j = 0; j < kChunkColumns; ++j) values[j] = values[j] * factor * w[j];
  return PackForConsumer(values, first, form);
}

__global__ void FenceKernel() {}

__global__ void EmbedKernel(RowsView out, const uint16_t* table, StepView step, const int32_t* last_tokens) {
  LetNextBegin();
  WaitForPrevious();
  const int row = static_cast<int>(blockIdx.x);
  int token = step.tokens[row];
  if (token < 0) token = max(last_tokens[step.slots[row]], 0);
  const auto* from = reinterpret_cast<const uint4*>(table + int64_t{token} * out.stride);
  auto* to = reinterpret_cast<uint4*>(out.values + int64_t{row} * out.stride);
  for (int i = static_cast<int>(threadIdx.x); i < out.stride / kChunkColumns; i += kNormThreads)
    to[i] = from[i];
}

// One block a row, of which a thread holds every kNormThreads-th chunk, kHeld at most. Their weights come
// before the wait: memory takes longer than all that a norm computes.
template <int kHeld>
__global__ __launch_bounds__(kNormThreads) void NormKernel(RowsView out, RowsView x, const float* weight,
                                                           float epsilon, RowForm form, const int32_t* rows) {
  __shared__ float warp_sums[kNormWarps];
  LetNextBegin();
  const int chunks = x.stride / kChunkColumns, thread = static_cast<int>(threadIdx.x);
  const auto* weights = reinterpret_cast<const float4*>(weight);
  float4 w[kHeld][2];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int chunk = min(thread + i * kNormThreads, chunks - 1);
    w[i][0] = weights[2 * chunk], w[i][1] = weights[2 * chunk + 1];
  }
  WaitForPrevious();
  const int row = static_cast<int>(blockIdx.x), from_row = rows != nullptr ? rows[row] : row;
  const auto* from = reinterpret_cast<const uint4*>(x.values + int64_t{from_row} * x.stride);
  auto* to = reinterpret_cast<uint4*>(out.values + int64_t{row} * out.stride);
  uint4 held[kHeld] = {};
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (thread + i * kNormThreads < chunks) held[i] = from[thread + i * kNormThreads];
  }
#pragma unroll
  for (int i = 0; i < kHeld; ++i) sum = AddSquares(sum, held[i]);
  sum = WarpSum(sum);
  if (LaneIndex() == 0) warp_sums[WarpIndex()] = sum;
  __syncthreads();
  const float factor = NormFactor(warp_sums, x.width, epsilon);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int chunk = thread + i * kNormThreads;
    if (chunk - LaneIndex() >= chunks) break;
    const uint4 stored = NormChunk(held[i], factor, w[i], chunk * kChunkColumns, form);
    if (chunk < chunks) to[chunk] = stored;
  }
}

// One block a row, in place. Whole warps walk over it, so that lanes can share blocks of NVFP4.
__global__ __launch_bounds__(kNormThreads) void EncodeKernel(RowsView x, RowForm form) {
  LetNextBegin();
  WaitForPrevious();
  auto* row = reinterpret_cast<uint4*>(x.values + int64_t{blockIdx.x} * x.stride);
  const int chunks = x.stride / kChunkColumns;
  for (int i = static_cast<int>(threadIdx.x); i - LaneIndex() < chunks; i += kNormThreads) {
    const bool exists = i < chunks;
    float values[kChunkColumns];
    UnpackChunk(exists ? row[i] : uint4{}, values);
    const uint4 stored = PackForConsumer(values, exists ? i * kChunkColumns : 0, form);
    if (exists) row[i] = stored;
  }
}

}  // namespace

void LaunchFence(cudaStream_t stream) {
  FenceKernel<<<1, 1, 0, stream>>>();  // without overlap, unlike Launch
  FOURSTEP_CUDA(cudaGetLastError());
}

void LaunchEmbed(RowsView out, const uint16_t* table, const StepView& step, const int32_t* last_tokens,
                 int32_t num_rows, cudaStream_t stream) {
  Launch(EmbedKernel, dim3(static_cast<unsigned>(num_rows)), dim3(kNormThreads), 0, stream, out, table, step,
         last_tokens);
}

void LaunchNorm(RowsView out, RowsView x, const float* weight, float epsilon, const RowForm& form,
                const int32_t* rows, int32_t num_rows, cudaStream_t stream) {
  const auto launch = [&](auto held) {
    Launch(NormKernel<decltype(held)::value>, dim3(static_cast<unsigned>(num_rows)), dim3(kNormThreads), 0,
           stream, out, x, weight, epsilon, form, rows);
  };
  constexpr int kColumns = kNormThreads * kChunkColumns, kMostHeld = kMaxNormColumns / kColumns;
  FOURSTEP_CUDA_REQUIRE(x.stride <= kMaxNormColumns);
  if (x.stride <= kColumns) return launch(std::integral_constant<int, 1>{});
  if (x.stride <= 2 * kColumns) return launch(std::integral_constant<int, 2>{});
  launch(std::integral_constant<int, kMostHeld>{});
}

void LaunchEncode(RowsView x, const RowForm& form, int32_t num_rows, cudaStream_t stream) {
  Launch(EncodeKernel, dim3(static_cast<unsigned>(num_rows)), dim3(kNormThreads), 0, stream, x, form);
}

}  // namespace fourstep::cuda
