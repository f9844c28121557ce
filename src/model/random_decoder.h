// Decoders with random weights: what speed is measured on where no checkpoint is.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "checkpoint/hf_config.h"
#include "model/decoder.h"
#include "model/model.h"

namespace fourstep {

enum class HeadFormat { kBf16, kNvFp4 };

// Weights of a decoder of a shape. All linears view the beginning of one set of random values, which this
// owns; each backend keeps a copy for every linear, so that nothing is read twice.
class RandomDecoderWeights {
 public:
  // kBf16 gives dense linears, the other numerics NVFP4 ones.
  RandomDecoderWeights(const HfConfig& shape, Numerics numerics, HeadFormat head);
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
                                         HeadFormat head);

}  // namespace fourstep
