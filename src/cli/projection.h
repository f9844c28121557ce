// The linears of a decoder layer, and the head, as the forward uses them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/linear_stack.h"
#include "backend/numerics.h"
#include "model/decoder.h"

namespace fourstep::cli {

enum class LinearUse { kPlain, kResidual, kGated, kHead };

struct Projection {
  std::string name;
  LinearUse use = LinearUse::kPlain;
  Numerics numerics = Numerics::kBf16;
  LinearStack weights;
  LinearStack consumer;  // kGated: what reads the outputs

  int64_t inputs() const { return weights.front().k; }
  int64_t outputs() const {  // of all weights
    int64_t n = 0;
    for (const LinearWeight& w : weights) n += w.n;
    return n;
  }
  int64_t bytes() const {  // that every use must read
    int64_t bytes = 0;
    for (const LinearWeight& w : weights) bytes += WeightBytes(w, numerics);
    return bytes;
  }
};

// qkv, o, gate|up, down of the first layer, and the head, which a model runs in BF16 where it does not have 4
// bits. Views of `weights`.
inline std::vector<Projection> ProjectionsOf(const DecoderWeights& weights, Numerics numerics) {
  const DecoderLayerWeights& l = weights.layers.front();
  const Numerics head_numerics = IsFourBit(weights.head.front().format) ? numerics : Numerics::kBf16;
  return {{"qkv", LinearUse::kPlain, numerics, l.qkv, {}},
          {"o", LinearUse::kResidual, numerics, l.o, {}},
          {"gate|up", LinearUse::kGated, numerics, l.gate_up, l.down},
          {"down", LinearUse::kResidual, numerics, l.down, {}},
          {"head", LinearUse::kHead, head_numerics, weights.head, {}}};
}

}  // namespace fourstep::cli
