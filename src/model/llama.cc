// Llama 2 and 3: neither biases nor norms of heads.
#include "model/architecture.h"
#include "model/decoder.h"

namespace fourstep {
namespace {

std::unique_ptr<Model> Load(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options) {
  ExpectNoAttentionBias(checkpoint.config());
  return LoadDecoder(checkpoint, backend, options, {});
}

}  // namespace

Architecture Llama() {
  return {.name = "LlamaForCausalLM", .load = &Load};
}

}  // namespace fourstep
