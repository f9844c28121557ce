#include "cuda/rows.h"

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

// One block a row. Whole warps walk over the row, so that lanes can share blocks of NVFP4.
template <bool kHasNorm>
__global__ __launch_bounds__(kNormThreads) void RowKernel(RowsView out, RowsView x, const float* weight,
                                                          float epsilon, RowForm form, const int32_t* rows) {
  LetNextBegin();
  if (kHasNorm) PrefetchFloats(weight, x.stride);
  WaitForPrevious();
  const int row = static_cast<int>(blockIdx.x), from_row = rows != nullptr ? rows[row] : row;
  const auto* from = reinterpret_cast<const uint4*>(x.values + int64_t{from_row} * x.stride);
  auto* to = reinterpret_cast<uint4*>(out.values + int64_t{row} * out.stride);
  const int chunks = x.stride / kChunkColumns, thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarpLanes;
  float factor = 1;
  if (kHasNorm) {
    __shared__ float warp_sums[kNormWarps];
    float sum = 0;
    for (int i = thread; i < chunks; i += kNormThreads) sum = AddSquares(sum, from[i]);
    sum = WarpSum(sum);
    if (lane == 0) warp_sums[thread / kWarpLanes] = sum;
    __syncthreads();
    factor = NormFactor(warp_sums, x.width, epsilon);
  }
  for (int i = thread; i - lane < chunks; i += kNormThreads) {
    const bool exists = i < chunks;
    const uint4 packed = exists ? from[i] : uint4{};
    const int first = exists ? i * kChunkColumns : 0;
    uint4 stored;
    if (kHasNorm) {
      const auto* w = reinterpret_cast<const float4*>(weight + first);
      stored = NormChunk(packed, factor, {w[0], w[1]}, first, form);
    } else {
      float values[kChunkColumns];
      UnpackChunk(packed, values);
      stored = PackForConsumer(values, first, form);
    }
    if (exists) to[i] = stored;
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
  Launch(RowKernel<true>, dim3(static_cast<unsigned>(num_rows)), dim3(kNormThreads), 0, stream, out, x,
         weight, epsilon, form, rows);
}

void LaunchEncode(RowsView x, const RowForm& form, int32_t num_rows, cudaStream_t stream) {
  Launch(RowKernel<false>, dim3(static_cast<unsigned>(num_rows)), dim3(kNormThreads), 0, stream, x, x,
         nullptr, 0.0f, form, nullptr);
}

}  // namespace fourstep::cuda
