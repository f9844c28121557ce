// Decoders with random weights: what speed is measured on where no checkpoint is.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "checkpoint/hf_config.h"
#include "model/decoder.h"
#include "model/model.h"

namespace fourstep {

// Weights of a decoder of a shape. All linears view the beginning of one set of random values, which this
// owns; each backend keeps a copy for every linear, so that nothing is read twice.
class RandomDecoderWeights {
 public:
  // kBf16 gives dense linears, the other numerics NVFP4 ones. `head`: kBf16, kFp8 or kNvFp4.
  RandomDecoderWeights(const HfConfig& shape, Numerics numerics, WeightFormat head);
  ~RandomDecoderWeights();
  RandomDecoderWeights(const RandomDecoderWeights&) = delete;
  RandomDecoderWeights& operator=(const RandomDecoderWeights&) = delete;

  const DecoderWeights& view() const { return view_; }

 private:
  struct Values;
  std::unique_ptr<const Values> values_;
  DecoderWeights view_;
};

// A decoder of those weights in `options.numerics`, which must be given.
std::unique_ptr<Model> MakeRandomDecoder(const HfConfig& shape, Backend& backend, const ModelOptions& options,
                                         WeightFormat head);

}  // namespace fourstep
