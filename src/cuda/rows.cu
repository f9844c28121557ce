#include "cuda/rows.h"

#include <algorithm>

#include "cuda/kernel_util.cuh"
#include "cuda/launch.h"
#include "cuda/row_form.cuh"

namespace fourstep::cuda {
namespace {

constexpr int kLaneValues = 8;  // 16 bytes; two lanes hold a block of NVFP4
constexpr int kMaxThreads = 1024;

__device__ __forceinline__ void UnpackLane(const uint4& packed, float (&values)[kLaneValues]) {
  const uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = Bf16Low(words[i]);
    values[2 * i + 1] = Bf16High(words[i]);
  }
}

// `values` of columns first .. first + 7, in the form of the consumer, packed. All lanes must come.
__device__ uint4 PackForConsumer(float (&values)[kLaneValues], int first, const RowForm& form) {
  float amax = 0;
  for (int i = 0; i < kLaneValues; ++i) {
    values[i] = RoundForConsumer(values[i], first + i, form);
    amax = fmaxf(amax, fabsf(values[i]));
  }
  if (form.is_nvfp4) {
    amax = fmaxf(amax, __shfl_xor_sync(kAllLanes, amax, 1));
    for (int i = 0; i < kLaneValues; ++i) values[i] = QuantizeInBlock(values[i], amax, form.inverse_scale);
  }
  return {PackBf16(values[0], values[1]), PackBf16(values[2], values[3]), PackBf16(values[4], values[5]),
          PackBf16(values[6], values[7])};
}

// The sum over the block, in an order that its size fixes.
__device__ float BlockSum(float x) {
  __shared__ float warps[kMaxThreads / kWarpLanes];
  x = WarpSum(x);
  if (threadIdx.x % kWarpLanes == 0) warps[threadIdx.x / kWarpLanes] = x;
  __syncthreads();
  const unsigned num_warps = blockDim.x / kWarpLanes;
  return WarpSum(threadIdx.x % kWarpLanes < num_warps ? warps[threadIdx.x % kWarpLanes] : 0.0f);
}

__global__ void EmbedKernel(RowsView out, const uint16_t* table, StepView step, const int32_t* last_tokens) {
  WaitForPrevious();
  LetNextBegin();
  const int row = static_cast<int>(blockIdx.x);
  int token = step.tokens[row];
  if (token < 0) token = max(last_tokens[step.slots[row]], 0);
  const auto* from = reinterpret_cast<const uint4*>(table + int64_t{token} * out.stride);
  auto* to = reinterpret_cast<uint4*>(out.values + int64_t{row} * out.stride);
  for (int i = static_cast<int>(threadIdx.x); i < out.stride / kLaneValues; i += static_cast<int>(blockDim.x))
    to[i] = from[i];
}

// One block a row. Whole warps walk over the row, so that lanes can share blocks of NVFP4.
template <bool kHasNorm>
__global__ void RowKernel(RowsView out, RowsView x, const float* weight, float epsilon, RowForm form,
                          const int32_t* rows) {
  WaitForPrevious();
  LetNextBegin();
  const int row = static_cast<int>(blockIdx.x), from_row = rows != nullptr ? rows[row] : row;
  const auto* from = reinterpret_cast<const uint4*>(x.values + int64_t{from_row} * x.stride);
  auto* to = reinterpret_cast<uint4*>(out.values + int64_t{row} * out.stride);
  const int chunks = x.stride / kLaneValues, step = static_cast<int>(blockDim.x);
  float values[kLaneValues], factor = 1;
  if (kHasNorm) {
    float sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < chunks; i += step) {
      UnpackLane(from[i], values);
      for (const float v : values) sum = fmaf(v, v, sum);
    }
    factor = 1.0f / sqrtf(BlockSum(sum) / static_cast<float>(x.width) + epsilon);
  }
  const int first = static_cast<int>(threadIdx.x);
  for (int i = first; i - first % kWarpLanes < chunks; i += step) {
    const bool exists = i < chunks;
    UnpackLane(exists ? from[i] : uint4{}, values);
    if (kHasNorm && exists) {
      for (int j = 0; j < kLaneValues; ++j) values[j] = values[j] * factor * weight[i * kLaneValues + j];
    }
    const uint4 packed = PackForConsumer(values, exists ? i * kLaneValues : 0, form);
    if (exists) to[i] = packed;
  }
}

int ThreadsFor(int32_t stride) {
  return std::min((stride / kLaneValues + kWarpLanes - 1) / kWarpLanes * kWarpLanes, kMaxThreads);
}

}  // namespace

void LaunchEmbed(RowsView out, const uint16_t* table, const StepView& step, const int32_t* last_tokens,
                 int32_t num_rows, cudaStream_t stream) {
  Launch(EmbedKernel, dim3(static_cast<unsigned>(num_rows)),
         dim3(static_cast<unsigned>(ThreadsFor(out.stride))), 0, stream, out, table, step, last_tokens);
}

void LaunchNorm(RowsView out, RowsView x, const float* weight, float epsilon, const RowForm& form,
                const int32_t* rows, int32_t num_rows, cudaStream_t stream) {
  Launch(RowKernel<true>, dim3(static_cast<unsigned>(num_rows)),
         dim3(static_cast<unsigned>(ThreadsFor(x.stride))), 0, stream, out, x, weight, epsilon, form, rows);
}

void LaunchEncode(RowsView x, const RowForm& form, int32_t num_rows, cudaStream_t stream) {
  Launch(RowKernel<false>, dim3(static_cast<unsigned>(num_rows)),
         dim3(static_cast<unsigned>(ThreadsFor(x.stride))), 0, stream, x, x, nullptr, 0.0f, form, nullptr);
}

}  // namespace fourstep::cuda
