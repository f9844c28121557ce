#include "cuda/rows.h"

#include <type_traits>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/row_form.cuh"

namespace fourstep::cuda {
namespace {

// A thread takes few columns, so that its code is short: with eight, straight code of 430 instructions took
// 2.5 us in a step and much less alone, most likely because a layer's kernels do not fit the instruction
// cache together.
constexpr int kNormWarps = 32, kNormThreads = kNormWarps * kWarpLanes;
constexpr int kChunkColumns = 4;  // 8 bytes; four lanes hold a block of NVFP4
using Chunk = uint2;

__device__ __forceinline__ void UnpackChunk(const Chunk& packed, float (&values)[kChunkColumns]) {
  values[0] = Bf16Low(packed.x), values[1] = Bf16High(packed.x);
  values[2] = Bf16Low(packed.y), values[3] = Bf16High(packed.y);
}

// `sum` and the squares of a chunk.
__device__ __forceinline__ float AddSquares(float sum, const Chunk& packed) {
  float values[kChunkColumns];
  UnpackChunk(packed, values);
#pragma unroll
  for (const float v : values) sum = fmaf(v, v, sum);
  return sum;
}

// What a row is multiplied by. `warp_sums` [kNormWarps] in shared memory; every lane gets it.
__device__ __forceinline__ float NormFactor(const float* warp_sums, int width, float epsilon) {
  static_assert(kNormWarps == kWarpLanes);
  const float sum = WarpSum(warp_sums[LaneIndex()]);
  return 1.0f / sqrtf(sum / static_cast<float>(width) + epsilon);
}

// `values` of columns first .. first + 3, in the form of the consumer, packed. All lanes must come.
__device__ __forceinline__ Chunk PackForConsumer(float (&values)[kChunkColumns], int first,
                                                 const RowForm& form) {
  float amax = 0;
#pragma unroll
  for (int i = 0; i < kChunkColumns; ++i) {
    values[i] = RoundForConsumer(values[i], first + i, form);
    amax = fmaxf(amax, fabsf(values[i]));
  }
  if (form.is_nvfp4) {
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, 1));
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, 2));
    QuantizePartOfBlock(values, amax, form.inverse_scale);
  }
  return {PackBf16(values[0], values[1]), PackBf16(values[2], values[3])};
}

// A chunk of a normed row in the form of the consumer. `weight`: of its columns; all lanes must come.
__device__ __forceinline__ Chunk NormChunk(const Chunk& packed, float factor, const float4& weight, int first,
                                           const RowForm& form) {
  float values[kChunkColumns];
  UnpackChunk(packed, values);
  const float w[kChunkColumns] = {weight.x, weight.y, weight.z, weight.w};
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
  constexpr int kColumns = sizeof(uint4) / sizeof(uint16_t);
  for (int i = static_cast<int>(threadIdx.x); i < out.stride / kColumns; i += kNormThreads) to[i] = from[i];
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
  float4 w[kHeld];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    w[i] = weights[min(thread + i * kNormThreads, chunks - 1)];
  }
  WaitForPrevious();
  const int row = static_cast<int>(blockIdx.x), from_row = rows != nullptr ? rows[row] : row;
  const auto* from = reinterpret_cast<const Chunk*>(x.values + int64_t{from_row} * x.stride);
  auto* to = reinterpret_cast<Chunk*>(out.values + int64_t{row} * out.stride);
  Chunk held[kHeld] = {};
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
    const int first = min(chunk, chunks - 1) * kChunkColumns;  // lanes beyond the row come along
    const Chunk stored = NormChunk(held[i], factor, w[i], first, form);
    if (chunk < chunks) to[chunk] = stored;
  }
}

// One block a row, in place. Whole warps walk over it, so that lanes can share blocks of NVFP4.
__global__ __launch_bounds__(kNormThreads) void EncodeKernel(RowsView x, RowForm form) {
  LetNextBegin();
  WaitForPrevious();
  auto* row = reinterpret_cast<Chunk*>(x.values + int64_t{blockIdx.x} * x.stride);
  const int chunks = x.stride / kChunkColumns;
  for (int i = static_cast<int>(threadIdx.x); i - LaneIndex() < chunks; i += kNormThreads) {
    const bool exists = i < chunks;
    float values[kChunkColumns];
    UnpackChunk(exists ? row[i] : Chunk{}, values);
    const Chunk stored = PackForConsumer(values, exists ? i * kChunkColumns : 0, form);
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
