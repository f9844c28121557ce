#include "quantize/methods.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "quantize/quantize.h"
#include "quantize/rtn.h"

namespace fourstep {
namespace {

constexpr QuantizeMethod kMethods[] = {
    {"rtn", "round to nearest, block scales from the block's largest magnitude", &RtnGlobalScale, &EncodeRtn},
};

}  // namespace

std::span<const QuantizeMethod> AllQuantizeMethods() {
  return kMethods;
}

const QuantizeMethod& FindQuantizeMethod(const std::string& name) {
  for (const QuantizeMethod& method : kMethods) {
    if (method.name == name) return method;
  }
  throw Errorf("method", "\"{}\" is not one of {}", Printable(name), fmt::join(QuantizeMethods(), ", "));
}

std::vector<std::string> QuantizeMethods() {
  std::vector<std::string> names;
  for (const QuantizeMethod& method : kMethods) names.emplace_back(method.name);
  return names;
}

}  // namespace fourstep
