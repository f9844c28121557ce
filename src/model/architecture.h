// An architecture: its Hugging Face name and how a checkpoint of it becomes a model. One file each;
// all_models.cc has the list.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "model/model.h"

namespace fourstep {

struct Architecture {
  std::string_view name;  // as in config.json's "architectures": "Qwen3ForCausalLM"
  // Checks the configuration for what the forward does not have, and binds. See Model::Load.
  std::unique_ptr<Model> (*load)(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options);
};

Architecture Qwen3();
Architecture Qwen2();
Architecture Llama();

std::span<const Architecture> AllArchitectures();

}  // namespace fourstep
