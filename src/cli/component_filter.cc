#include "cli/component_filter.h"

namespace fourstep::cli {

std::string_view ComponentName(Component component) {
  switch (component) {
    case Component::kNorms:
      return "norms";
    case Component::kQkv:
      return "qkv";
    case Component::kAttention:
      return "attention";
    case Component::kO:
      return "o";
    case Component::kGateUp:
      return "gate|up";
    case Component::kDown:
      return "down";
    case Component::kHead:
      return "head";
  }
  return "";
}

}  // namespace fourstep::cli
