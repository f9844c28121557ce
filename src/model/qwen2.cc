// Qwen2, Qwen2.5 and the R1 distillations of them: biases on q, k and v, which config.json does not mention.
#include "model/architecture.h"
#include "model/decoder.h"

namespace fourstep {
namespace {

std::unique_ptr<Model> Load(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options) {
  ExpectNoAttentionBias(checkpoint.config());
  return LoadDecoder(checkpoint, backend, options, {.has_qkv_bias = true});
}

}  // namespace

Architecture Qwen2() {
  return {.name = "Qwen2ForCausalLM", .load = &Load};
}

}  // namespace fourstep
