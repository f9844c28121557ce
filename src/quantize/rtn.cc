#include "quantize/rtn.h"

#include <algorithm>
#include <limits>

namespace fourstep {

float RtnGlobalScale(float amax) {
  return std::max(NvFp4::GlobalScale(amax), std::numeric_limits<float>::min());
}

float RtnFp8Scale(float amax) {
  return std::max(E4M3::Scale(amax), std::numeric_limits<float>::min());
}

EncodedWeight EncodeRtn(const LinearWeight& weight, float global_scale, int num_threads) {
  return EncodeRows(weight, global_scale, num_threads, &NvFp4::EncodeWeight);
}

}  // namespace fourstep
