// Names and ranges of what a request may ask of the sampler.
#pragma once

#include <string>
#include <string_view>

#include "backend/token_record.h"

namespace fourstep {

// "fixed", "greedy", "reset", "dynatemp". Parse throws Error (naming `where`) for anything else.
std::string_view PolicyKindName(PolicyKind kind);
PolicyKind ParsePolicyKind(std::string_view name, const std::string& where);

// "hybrid", "causal-mean", "ema-from-window", "ema-from-first".
std::string_view StepEstimatorName(StepEstimator estimator);
StepEstimator ParseStepEstimator(std::string_view name, const std::string& where);

inline constexpr double kMaxTemperature = 100;
inline constexpr double kMinRepetitionPenalty = 0.1, kMaxRepetitionPenalty = 10;
inline constexpr double kMaxPenalty = 2;  // of presence and frequency, either sign

// Throws Error (naming `where` and the field) for a value outside its range: temperatures 0..100, entropies
// 0..64 nats, window 1..64 tokens, top_p and min_p and ema_decay 0..1, top_k >= 0, penalties and top_logprobs
// as above and in token_record.h. NaN is outside every range. Every SamplingParams that comes from a person,
// a file or a request passes here before a backend sees it.
void ValidateSamplingParams(const SamplingParams& params, const std::string& where);

}  // namespace fourstep
