#include "sampling/presets.h"

#include <algorithm>
#include <string>

namespace fourstep {
namespace {

// arXiv 2606.13233: T_low chosen and tau_0 measured (80th percentile) on the NVFP4 models.
constexpr ResetPreset kPresets[] = {
    {"Qwen3-8B", 0.1f, 0.5505f},
    {"Qwen3-14B", 0.3f, 0.4863f},
    {"Qwen3-32B", 0.1f, 0.5363f},
    {"DeepSeek-R1-Distill-Qwen-7B", 0.4f, 0.6446f},
    {"DeepSeek-R1-Distill-Qwen-14B", 0.3f, 0.6488f},
};

constexpr std::string_view kStorageWords[] = {"nvfp4",    "fp4", "w4a4", "w4a16", "nvfp4a16",
                                              "modelopt", "rtn", "gptq", "awq",   "bf16"};

std::string Lowered(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lowered;
}

bool SaysOnlyStorage(std::string_view words) {
  while (!words.empty()) {
    if (words.front() != '-' && words.front() != '_') return false;
    words.remove_prefix(1);
    const std::string_view word = words.substr(0, words.find_first_of("-_"));
    if (std::find(std::begin(kStorageWords), std::end(kStorageWords), word) == std::end(kStorageWords))
      return false;
    words.remove_prefix(word.size());
  }
  return true;
}

}  // namespace

std::span<const ResetPreset> ResetPresets() {
  return kPresets;
}

const ResetPreset* FindResetPreset(std::string_view model) {
  while (!model.empty() && model.back() == '/') model.remove_suffix(1);
  const size_t slash = model.rfind('/');
  const std::string name = Lowered(slash == model.npos ? model : model.substr(slash + 1));
  for (const ResetPreset& preset : kPresets) {
    const std::string wanted = Lowered(preset.model);
    if (name.starts_with(wanted) && SaysOnlyStorage(std::string_view(name).substr(wanted.size())))
      return &preset;
  }
  return nullptr;
}

PolicyParams PolicyOfPreset(const ResetPreset& preset) {
  PolicyParams params;
  params.kind = PolicyKind::kReset;
  params.t_high = 1.0f;
  params.t_low = preset.t_low;
  params.tau_0 = preset.tau_0;
  params.window = 32;
  return params;
}

}  // namespace fourstep
