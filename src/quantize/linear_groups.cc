#include "quantize/linear_groups.h"

#include <fmt/format.h>

namespace fourstep {

std::vector<LinearGroup> LinearGroups(const HfConfig& config) {
  const int64_t hidden = config.hidden_size, ffn = config.intermediate_size;
  const int64_t q = config.num_heads * config.head_dim, kv = config.num_kv_heads * config.head_dim;
  std::vector<LinearGroup> groups;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const auto member = [&](const char* module, int64_t n) {
      return LinearGroup::Member{fmt::format("model.layers.{}.{}", layer, module), n};
    };
    groups.push_back(
        {{member("self_attn.q_proj", q), member("self_attn.k_proj", kv), member("self_attn.v_proj", kv)},
         hidden});
    groups.push_back({{member("self_attn.o_proj", hidden)}, q});
    groups.push_back({{member("mlp.gate_proj", ffn), member("mlp.up_proj", ffn)}, hidden});
    groups.push_back({{member("mlp.down_proj", hidden)}, ffn});
  }
  return groups;
}

}  // namespace fourstep
