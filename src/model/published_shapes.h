// Decoders of the sizes of published models with random weights: what speed is measured on where no
// checkpoint is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/hf_config.h"
#include "model/model.h"

namespace fourstep {

// "qwen3-8b", ... as `bench decode --shape` takes them.
std::vector<std::string> PublishedShapeNames();

// Throws Error, naming the choices, for another name.
HfConfig PublishedShape(const std::string& name);

enum class HeadFormat { kBf16, kNvFp4 };

// A decoder of that shape. All linears of it share one set of random values, of which each backend keeps a
// copy for every linear, so that nothing is read twice. 4-bit linears have `options.numerics`; kBf16 gives
// dense ones.
std::unique_ptr<Model> MakeRandomDecoder(const HfConfig& shape, Backend& backend, const ModelOptions& options,
                                         HeadFormat head);

}  // namespace fourstep
