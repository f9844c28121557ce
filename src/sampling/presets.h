// The published parameters of ReSET, by model.
#pragma once

#include <span>
#include <string_view>

#include "backend/token_record.h"

namespace fourstep {

struct ResetPreset {
  std::string_view model;  // the last part of its Hugging Face name
  float t_low, tau_0;      // tau_0 in nats; T_high is 1.0 and the window 32 for all
};

std::span<const ResetPreset> ResetPresets();

// The preset of a model's name or folder ("Qwen/Qwen3-8B", "models/qwen3-8b-nvfp4/"), or null: the last part
// of the path, any case, alone or with words after it that say only how it is stored (NVFP4, W4A4, ...). A
// base model or another finetune of the same size is another model.
const ResetPreset* FindResetPreset(std::string_view model);

PolicyParams PolicyOfPreset(const ResetPreset& preset);

}  // namespace fourstep
