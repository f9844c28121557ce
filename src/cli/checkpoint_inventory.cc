#include "cli/checkpoint_inventory.h"

#include <algorithm>

#include "backend/linear_stack.h"
#include "base/error.h"
#include "checkpoint/module_names.h"
#include "model/architecture.h"

namespace fourstep::cli {
namespace {

using LinearStack = std::vector<LinearWeight>;

class Inventory {
 public:
  explicit Inventory(Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  CheckpointInventory Take() {
    const HfConfig& c = checkpoint_.config();
    Count("embedding", checkpoint_.Table(kEmbeddingModule, c.vocab_size, c.hidden_size));
    for (int64_t i = 0; i < c.num_layers; ++i) AddLayer(fmt::format("model.layers.{}.", i));
    AddNorms();
    if (!c.tie_word_embeddings) stacks_.push_back({Read("head", kHeadModule, c.vocab_size, c.hidden_size)});
    checkpoint_.ExpectAllRead();
    for (const auto& [name, view] : checkpoint_.tensors()) {
      result_.size_bytes += static_cast<int64_t>(view.bytes.size());
      result_.bytes_by_type[std::string(TensorTypeName(view.type))] +=
          static_cast<int64_t>(view.bytes.size());
    }
    for (const ModuleKind& kind : result_.kinds) result_.num_parameters += kind.num_parameters;
    ChooseNumerics();
    return std::move(result_);
  }

 private:
  ModuleKind& Kind(const std::string& name) {
    const auto it = std::find_if(result_.kinds.begin(), result_.kinds.end(),
                                 [&](const ModuleKind& kind) { return kind.name == name; });
    if (it != result_.kinds.end()) return *it;
    result_.kinds.emplace_back().name = name;
    return result_.kinds.back();
  }

  void Count(const std::string& kind_name, const LinearWeight& weight) {
    ModuleKind& kind = Kind(kind_name);
    ++kind.num_modules;
    ++kind.formats[std::string(WeightFormatName(weight.format))];
    kind.num_input_scales += weight.input_scale.has_value();
    kind.num_pre_quant_scales += !weight.pre_quant_scale.empty();
    kind.num_biases += !weight.bias.empty();
    kind.num_parameters += weight.n * weight.k + static_cast<int64_t>(weight.bias.size());
    const std::string prefix = weight.name + ".";
    const TensorMap& tensors = checkpoint_.tensors();
    for (auto it = tensors.lower_bound(prefix); it != tensors.end() && it->first.starts_with(prefix); ++it) {
      kind.size_bytes += static_cast<int64_t>(it->second.bytes.size());
    }
  }

  LinearWeight Read(const std::string& kind, const std::string& module, int64_t n, int64_t k) {
    LinearWeight weight = checkpoint_.Linear(module, n, k);
    Count(kind, weight);
    return weight;
  }

  void AddLayer(const std::string& layer) {
    const HfConfig& c = checkpoint_.config();
    const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
    const std::string attention = layer + "self_attn.", mlp = layer + "mlp.";
    result_.kv_scales.push_back(checkpoint_.CacheScales(layer + "self_attn"));
    stacks_.push_back({Read("attention q", attention + "q_proj", q, c.hidden_size),
                       Read("attention k", attention + "k_proj", kv, c.hidden_size),
                       Read("attention v", attention + "v_proj", kv, c.hidden_size)});
    stacks_.push_back({Read("attention o", attention + "o_proj", c.hidden_size, q)});
    stacks_.push_back({Read("mlp gate", mlp + "gate_proj", c.intermediate_size, c.hidden_size),
                       Read("mlp up", mlp + "up_proj", c.intermediate_size, c.hidden_size)});
    stacks_.push_back({Read("mlp down", mlp + "down_proj", c.hidden_size, c.intermediate_size)});
  }

  void AddNorms() {
    for (const auto& [name, view] : checkpoint_.tensors()) {
      if (!name.ends_with("norm.weight") || view.shape.size() != 1) continue;
      checkpoint_.Vector(name, view.shape[0]);
      ModuleKind& kind = Kind("norms");
      ++kind.num_modules;
      ++kind.formats[view.type == TensorType::kF32   ? "fp32"
                     : view.type == TensorType::kF16 ? "fp16"
                                                     : "bf16"];
      kind.num_parameters += view.num_values();
      kind.size_bytes += static_cast<int64_t>(view.bytes.size());
    }
  }

  // As a model chooses: what shares its input runs together, so it must agree.
  void ChooseNumerics() {
    const auto architectures = AllArchitectures();
    if (std::none_of(architectures.begin(), architectures.end(),
                     [&](const Architecture& a) { return a.name == checkpoint_.config().architecture; })) {
      return;
    }
    bool has_four_bit = false, is_mixed = false;
    for (const LinearStack& stack : stacks_) {
      const auto count = std::count_if(stack.begin(), stack.end(),
                                       [](const LinearWeight& w) { return IsFourBit(w.format); });
      if (count == 0) continue;
      has_four_bit = true;
      is_mixed |= static_cast<size_t>(count) != stack.size();
      if (!result_.why_not_w4a4.empty()) continue;
      try {
        CheckStack(stack, Numerics::kW4A4);
      } catch (const Error& error) {
        result_.why_not_w4a4 = error.what();
      }
    }
    if (has_four_bit && result_.why_not_w4a4.empty()) result_.numerics.push_back(Numerics::kW4A4);
    if (has_four_bit && !is_mixed) result_.numerics.push_back(Numerics::kW4A16);
    result_.numerics.push_back(Numerics::kBf16);
  }

  Checkpoint& checkpoint_;
  CheckpointInventory result_;
  std::vector<LinearStack> stacks_;
};

}  // namespace

CheckpointInventory TakeInventory(Checkpoint& checkpoint) {
  return Inventory(checkpoint).Take();
}

}  // namespace fourstep::cli
