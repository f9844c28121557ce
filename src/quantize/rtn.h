// Round to nearest: the block's largest magnitude becomes 6, the tensor's largest block scale becomes 448.
#pragma once

#include "quantize/encoded_weight.h"

namespace fourstep {

// amax / 2688. Never smaller than the smallest normal number, so that its reciprocal, which one dialect
// stores, is finite; 1 where amax is 0.
float RtnGlobalScale(float amax);

// amax / 448, likewise.
float RtnFp8Scale(float amax);

EncodedWeight EncodeRtn(const LinearWeight& weight, float global_scale, int num_threads);

}  // namespace fourstep
