// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter-based
// generator. A draw is a pure function of (key, counter), so it depends on nothing else: not on the batch,
// the slot, the thread or what was drawn before. The one source of randomness of sampling, on CPU and GPU.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace fourstep {

struct Philox4 {
  uint32_t v[4];
};

// `key` is the request's seed, `counter_low` the position of the token, `counter_high` the purpose of the
// draw.
FOURSTEP_HD Philox4 Philox(uint64_t key, uint64_t counter_low, uint64_t counter_high = 0) {
  uint32_t c0 = static_cast<uint32_t>(counter_low), c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high), c3 = static_cast<uint32_t>(counter_high >> 32);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1) with 24 bits: exact in float, never 1.
FOURSTEP_HD float UniformFloat(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1.0p-24f;
}

// Uniform in [0, 1) with 53 bits.
FOURSTEP_HD double UniformDouble(uint32_t high, uint32_t low) {
  return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1.0p-53;
}

// A stream of draws for host code that needs many (problem generators, tests). Same seed and stream, same
// draws, on every machine.
class PhiloxStream {
 public:
  explicit PhiloxStream(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t NextBits() {
    if (used_ == 4) {
      block_ = Philox(seed_, counter_++, stream_);
      used_ = 0;
    }
    return block_.v[used_++];
  }

  // Uniform in [0, n), n >= 1; without bias (Lemire's multiply with rejection).
  uint32_t Below(uint32_t n) {
    uint64_t product = uint64_t{NextBits()} * n;
    if (static_cast<uint32_t>(product) < n) {
      const uint32_t threshold = (0u - n) % n;
      while (static_cast<uint32_t>(product) < threshold) product = uint64_t{NextBits()} * n;
    }
    return static_cast<uint32_t>(product >> 32);
  }

  // Uniform in [low, high], both included.
  int Between(int low, int high) {
    return low + static_cast<int>(Below(static_cast<uint32_t>(high - low + 1)));
  }

  double Uniform() {
    const uint32_t high = NextBits();
    return UniformDouble(high, NextBits());
  }

  bool Chance(double probability) { return Uniform() < probability; }

 private:
  uint64_t seed_, stream_;
  uint64_t counter_ = 0;
  Philox4 block_{};
  int used_ = 4;
};

}  // namespace fourstep
