// Arms made definite: which model answers how, down to the bytes of the checkpoint.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "eval/arm_setting.h"
#include "eval/study_store.h"
#include "fourstep/engine.h"

namespace fourstep {

struct ResolvedArm {
  StudyArm arm;
  EngineOptions engine;  // equal for arms of one family
  Sampling sampling;     // without a seed
};

// Of arms that a model in this process answers; `defaults` has what an arm does not say. Throws Error where
// there is no arm, two have one name, or one names what its model does not allow. Loads no weights.
std::vector<ResolvedArm> ResolveArms(const std::vector<ArmSetting>& settings, const EngineOptions& defaults);

// Of arms that a server answers: its policy must be fixed or greedy.
std::vector<ResolvedArm> ResolveEndpointArms(const std::vector<ArmSetting>& settings, const std::string& url,
                                             const std::string& model);

// Are parameters of ReSET known for the model: in its reset.json, or as published? Throws Error where it is
// none.
bool KnowsReset(const std::string& model);

// A number for the contents of a checkpoint's folder: all small files, and samples of the large ones. Another
// model at the same path has another.
std::string CheckpointFingerprint(const std::filesystem::path& folder);

}  // namespace fourstep
