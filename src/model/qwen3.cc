// Qwen3: RMSNorm of each q and k head before the rotation; no biases.
#include "model/architecture.h"
#include "model/decoder.h"

namespace fourstep {
namespace {

std::unique_ptr<Model> Load(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options) {
  ExpectNoAttentionBias(checkpoint.config());
  return LoadDecoder(checkpoint, backend, options, {.has_head_norms = true});
}

}  // namespace

Architecture Qwen3() {
  return {.name = "Qwen3ForCausalLM", .load = &Load};
}

}  // namespace fourstep
