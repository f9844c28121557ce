// What a checkpoint says about its quantisation: config.json's "quantization_config" of either dialect, or
// ModelOpt's hf_quant_config.json. Whether a module has 4 or 8 bits is decided by its tensors; this says
// which dialect they are written in, and contradictions are errors.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "checkpoint/module_pattern.h"
#include "formats/kv_cache_format.h"
#include "formats/linear_weight.h"

namespace fourstep {

enum class Dialect { kNone, kModelOpt, kCompressedTensors };

std::string_view DialectName(Dialect dialect);  // "none", "modelopt", "compressed-tensors"

struct QuantizationConfig {
  Dialect dialect = Dialect::kNone;
  std::string where;  // the file and field, for messages
  bool has_nvfp4 = false, has_mxfp4 = false, has_fp8 = false;
  // Of the NVFP4 groups of modules: some have quantised activations (and so input scales), some have not.
  bool has_w4a4 = false, has_w4a16 = false;
  std::vector<ModulePattern> excluded;  // modules that are not quantised
  // The KV cache that is asked for: kBf16 where it is of a quantised format that there is not here, to which
  // the checkpoint's scales then belong. Empty: nothing is said.
  std::optional<KvCacheFormat> kv_cache;

  // Throws Error where `module`, found to be quantised in this way, contradicts the configuration.
  void Expect(const std::string& module, WeightFormat format, bool has_input_scale) const;
};

// The value of "quantization_config". Throws Error naming the field for methods, formats and numbers of bits
// that are not supported, transforms, and unknown keys.
QuantizationConfig ParseQuantizationConfig(const Json& json, const std::string& where);

// The whole of hf_quant_config.json. Throws Error.
QuantizationConfig ParseHfQuantConfig(std::string_view text, const std::string& where);

}  // namespace fourstep
