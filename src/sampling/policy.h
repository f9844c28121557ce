// The decoding policies, in one dispatch for host and device. A policy sees the entropy of the token to be
// drawn and the state of the answer so far, and says what the logits are divided by. The state is kept under
// every policy, so that steps and entropies can be shown whatever is running.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "backend/token_record.h"
#include "base/host_device.h"
#include "sampling/reset_policy.h"

namespace fourstep {

// At or below this temperature the token is the arg-max.
inline constexpr float kGreedyTemperature = 1e-6f;

// What "\n\n" and "\n" mean, for tables of boundary tokens: `text` is one decoded token.
inline TokenClass ClassifyTokenText(std::string_view text) {
  if (text.find("\n\n") != text.npos) return TokenClass::kBlankLine;
  return text == "\n" ? TokenClass::kNewline : TokenClass::kOther;
}

// Dynamic temperature: low + (high - low) * (H / ln vocab)^exponent. `log_vocab` is ln of the number of
// logits.
FOURSTEP_HD float DynatempTemperature(const PolicyParams& params, double entropy, float log_vocab) {
  float share = log_vocab > 0 ? static_cast<float>(entropy) / log_vocab : 0.0f;
  share = share < 1 ? share : 1.0f;
  return params.dynatemp_low +
         (params.dynatemp_high - params.dynatemp_low) * powf(share, params.dynatemp_exponent);
}

// For the next token, whose entropy is `entropy` nats. Does not change the state.
FOURSTEP_HD PolicyDecision ChooseTemperature(const PolicyState& state, const PolicyParams& params,
                                             double entropy, float log_vocab) {
  const EntropyEstimates estimates = EstimateEntropy(state, params, EntropyUnits(entropy));
  PolicyDecision decision{};
  switch (params.kind) {
    case PolicyKind::kFixed:
      decision.temperature = params.temperature;
      break;
    case PolicyKind::kGreedy:
      break;
    case PolicyKind::kReset:
      decision = DecideReset(estimates, params, entropy);
      break;
    case PolicyKind::kDynatemp:
      decision.temperature = DynatempTemperature(params, entropy, log_vocab);
      break;
  }
  decision.step_entropy = static_cast<float>(estimates.step / kEntropyUnitsPerNat);
  decision.mean_entropy = static_cast<float>(estimates.mean / kEntropyUnitsPerNat);
  return decision;
}

// The token chosen with that decision joins the state.
FOURSTEP_HD void Observe(PolicyState& state, const PolicyParams& params, double entropy, TokenClass drawn) {
  ObserveToken(state, params, entropy, drawn);
}

}  // namespace fourstep
