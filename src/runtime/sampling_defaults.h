// What a request's Sampling means: the policy it names or implies, the model's own values where it gives
// none.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "backend/sampling_request.h"
#include "checkpoint/hf_config.h"
#include "fourstep/engine.h"

namespace fourstep {

struct SamplingDefaults {
  SamplingParams sampling;            // of policy "fixed", and what acts after every policy
  std::optional<PolicyParams> reset;  // where parameters of ReSET are known for the model

  // From reset.json in `folder`, else the published preset of the folder's name; and the generation settings
  // of the checkpoint there. Throws Error naming the file and field.
  static SamplingDefaults Load(const std::filesystem::path& folder, const GenerationConfig& generation);

  // Throws Error naming the field: an unknown name, a value out of range, a parameter of another policy than
  // the one in use, "reset" without parameters for a model where none are known.
  SamplingParams Resolve(const Sampling& request) const;

  // What a request means, for people: "reset (T_low 0.1, T_high 1, tau_0 0.55, window 32), top-p 0.95".
  // Throws as Resolve.
  std::string Describe(const Sampling& request = {}) const;
};

// By token. Throws Error for an id that is not below `vocab_size`, one that comes twice, too many of them, or
// a bias out of range.
std::vector<TokenBias> ResolveLogitBias(const Sampling& request, int32_t vocab_size);

// Throws Error for what no model takes: a value out of range, parameters of different policies, or of another
// than the one named, a pattern that is none. So that such a fault is told before a model is loaded.
void CheckSampling(const Sampling& sampling);

}  // namespace fourstep
