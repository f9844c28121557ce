// Division by a number that is known when a kernel is launched.
#pragma once

#include <bit>
#include <cstdint>

#include "base/host_device.h"

namespace fourstep::cuda {

// A number >= 1 that divides others of 0 .. 2^31 - 1 by a product and a shift, in place of the thirty
// instructions, one waiting for the other, that a GPU takes for a division. Otherwise it is its value.
//
// With s = ceil(log2 d) and f = floor(2^32 (2^s - d) / d) + 1, n / d = (n f / 2^32 + n) >> s: Granlund and
// Montgomery, "Division by invariant integers using multiplication", 1994.
class Divisor {
 public:
  constexpr Divisor() = default;
  // 0, of a cache that there is not, divides nothing.
  constexpr Divisor(int32_t value) : value_(value) {  // NOLINT(google-explicit-constructor): it is its value
    if (value < 1) return;
    const auto d = static_cast<uint32_t>(value);
    shift_ = std::bit_width(d - 1);
    const uint64_t above = (uint64_t{1} << shift_) - d;
    factor_ = static_cast<uint32_t>((above << 32) / d + 1);
  }
  FOURSTEP_HD operator int32_t() const {  // NOLINT(google-explicit-constructor): it is its value
    return value_;
  }
  FOURSTEP_HD friend int32_t operator/(int32_t n, const Divisor& d) {
    const uint64_t product = uint64_t{static_cast<uint32_t>(n)} * d.factor_;
    return static_cast<int32_t>((static_cast<uint32_t>(product >> 32) + static_cast<uint32_t>(n)) >>
                                d.shift_);
  }
  FOURSTEP_HD friend int32_t operator%(int32_t n, const Divisor& d) { return n - n / d * d.value_; }

 private:
  int32_t value_ = 1;
  uint32_t factor_ = 1;
  int32_t shift_ = 0;
};

}  // namespace fourstep::cuda
