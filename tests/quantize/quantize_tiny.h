// Quantises a tiny checkpoint.
#pragma once

#include <filesystem>

#include "quantize/quantize.h"

namespace fourstep {

inline QuantizeReport QuantizeTiny(const std::filesystem::path& source,
                                   const std::filesystem::path& destination, QuantizeOptions options = {}) {
  options.num_threads = 1;  // that more give the same is tested elsewhere
  return Quantize(source, destination, options, {});
}

inline QuantizeOptions WeightsOnly(Dialect dialect = Dialect::kModelOpt) {
  QuantizeOptions options;
  options.dialect = dialect;
  options.weights_only = true;
  return options;
}

}  // namespace fourstep
