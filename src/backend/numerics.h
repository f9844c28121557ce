// What a linear layer computes with. docs/numerics.md has the contract.
#pragma once

#include <string_view>

namespace fourstep {

enum class Numerics {
  kW4A4,   // 4-bit weights times 4-bit activations, exactly as FP4 hardware would: needs calibrated input
           // scales
  kW4A16,  // 4-bit weights decoded exactly, BF16 activations
  kBf16,   // weights decoded to BF16 (a dense checkpoint's own precision)
};

inline constexpr std::string_view NumericsName(Numerics numerics) {
  switch (numerics) {
    case Numerics::kW4A4:
      return "w4a4";
    case Numerics::kW4A16:
      return "w4a16";
    case Numerics::kBf16:
      return "bf16";
  }
  return "";
}

}  // namespace fourstep
