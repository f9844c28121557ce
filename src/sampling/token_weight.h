// What a token's probability is in a draw, for host and device: an integer in units of 2^-40 of the largest,
// so that sums have no order (sampling/sampler.h).
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace fourstep {

inline constexpr uint64_t kFullWeight = uint64_t{1} << 40;  // of the most probable token

// The third word of Philox's counter keeps draws of other purposes apart.
inline constexpr uint64_t kDrawPurpose = 0;

// `share` of `mass`, rounded up: 1..mass.
FOURSTEP_HD uint64_t ScaledMass(double share, uint64_t mass) {
  const auto scaled = static_cast<uint64_t>(ceil(share * static_cast<double>(mass)));
  return scaled < 1 ? 1 : scaled > mass ? mass : scaled;
}

}  // namespace fourstep
