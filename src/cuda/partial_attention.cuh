// Results of attention over parts of a context, and how they are merged: in order, by each thread for itself.
#pragma once

#include "cuda/kernel_util.cuh"

namespace fourstep::cuda {

// A partial result of a head: its maximum, its sum, and its weighted sums of the values.
constexpr int kPartialHeader = 2;

// Partial results of some heads, in shared or in global memory.
struct Partials {
  const float* first;
  int stride, head_stride;  // in floats
};

// Two dimensions of a head, before division by the sum.
struct Merged {
  float max, sum;
  float2 values;
};

// Dimensions dim and dim + 1 of `count` partial results, kMost at most, which are loaded all at once.
template <int kMost>
__device__ __forceinline__ Merged Merge(const Partials& p, int count, int head, int dim) {
  const float* at = p.first + head * p.head_stride;
  float2 headers[kMost], values[kMost];
#pragma unroll
  for (int i = 0; i < kMost; ++i) {
    headers[i] = make_float2(-INFINITY, 0.0f);
    values[i] = make_float2(0.0f, 0.0f);
    if (i < count) {
      headers[i] = *reinterpret_cast<const float2*>(at + i * p.stride);
      values[i] = *reinterpret_cast<const float2*>(at + i * p.stride + kPartialHeader + dim);
    }
  }
  Merged merged{-INFINITY, 0.0f, make_float2(0.0f, 0.0f)};
#pragma unroll
  for (const float2& h : headers) merged.max = fmaxf(merged.max, h.x);
#pragma unroll
  for (int i = 0; i < kMost; ++i) {
    const float factor = headers[i].x == -INFINITY ? 0.0f : exp2f(headers[i].x - merged.max);
    merged.sum = fmaf(headers[i].y, factor, merged.sum);
    merged.values.x = fmaf(values[i].x, factor, merged.values.x);
    merged.values.y = fmaf(values[i].y, factor, merged.values.y);
  }
  return merged;
}

}  // namespace fourstep::cuda
