// The list of architectures.
#include <array>

#include "base/error.h"
#include "model/architecture.h"

namespace fourstep {

std::span<const Architecture> AllArchitectures() {
  static const std::array kAll = {Qwen3(), Qwen2(), Llama()};
  return kAll;
}

std::string ArchitectureNames() {
  std::string names;
  for (const Architecture& a : AllArchitectures()) names += (names.empty() ? "" : ", ") + std::string(a.name);
  return names;
}

std::unique_ptr<Model> Model::Load(Checkpoint& checkpoint, Backend& backend, const ModelOptions& options) {
  const HfConfig& config = checkpoint.config();
  for (const Architecture& a : AllArchitectures())
    if (a.name == config.architecture) return a.load(checkpoint, backend, options);
  throw Errorf(config.where, "\"architectures\" has \"{}\", expected one of {}",
               Printable(config.architecture), ArchitectureNames());
}

}  // namespace fourstep
