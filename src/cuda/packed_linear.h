// A linear of the CUDA backend: its weights packed on the device, and what its input must look like.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/numerics.h"
#include "cuda/device.h"
#include "cuda/linear_view.h"
#include "cuda/row_form.h"
#include "formats/linear_weight.h"

namespace fourstep::cuda {

class PackedLinear {
 public:
  // The stack must have passed CheckStack. Throws Error for a block scale that is no number, or for lack of
  // memory. Waits for the device.
  PackedLinear(std::span<const LinearWeight> weights, Numerics numerics);

  const LinearView& view() const { return view_; }
  Numerics numerics() const { return numerics_; }
  float input_scale() const { return input_scale_; }  // 1 unless kW4A4
  RowForm input_form() const;
  // Anything but plain BF16.
  bool reads_special_form() const { return numerics_ == Numerics::kW4A4 || pre_quant_scale_.size() > 0; }
  bool ReadsFormOf(const PackedLinear& o) const;

 private:
  bool PackFourBit(std::span<const LinearWeight> weights);
  void PackFp8(std::span<const LinearWeight> weights);
  void PackBf16(std::span<const LinearWeight> weights);
  void AllocateUnits(UnitKind kind);
  void UploadRowVectors(std::span<const LinearWeight> weights, const std::vector<float>& row_alpha);

  Numerics numerics_;
  float input_scale_ = 1;
  std::vector<float> host_pre_quant_scale_;
  LinearView view_{};
  DeviceArray<uint8_t> units_;
  DeviceArray<float> alpha_, bias_, pre_quant_scale_;
};

}  // namespace fourstep::cuda
