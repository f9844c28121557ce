// How an operation stores its output for the linear that will read it; row_form.cuh has the arithmetic.
#pragma once

namespace fourstep::cuda {

struct RowForm {
  const float* pre_quant_scale = nullptr;  // [width] on the device, or null
  float inverse_scale = 1;                 // 1 / g_x, where is_nvfp4
  bool is_nvfp4 = false;
};

}  // namespace fourstep::cuda
