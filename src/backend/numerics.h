// What a linear layer computes with. docs/numerics.md has the contract.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fourstep {

enum class Numerics {
  kW4A4,   // 4-bit weights times 4-bit activations, exactly as FP4 hardware would: needs calibrated input
           // scales
  kW4A16,  // 4-bit weights decoded exactly, BF16 activations
  kBf16,   // BF16 activations, weights that are dense: FP8 ones as they are, all others decoded to BF16
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

// Nothing for an empty name: the best that a checkpoint allows. Throws Error for any other.
inline std::optional<Numerics> ParseNumerics(const std::string& name) {
  if (name.empty()) return std::nullopt;
  for (const Numerics numerics : {Numerics::kW4A4, Numerics::kW4A16, Numerics::kBf16}) {
    if (name == NumericsName(numerics)) return numerics;
  }
  throw Errorf("numerics", "\"{}\" is not one of w4a4, w4a16, bf16", Printable(name));
}

}  // namespace fourstep
