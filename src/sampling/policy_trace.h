// A recorded answer as one JSON line, and the replay of ReSET over it: what `fourstep policy replay` does.
//
//   {"id": 7, "t_high": 1.0, "t_low": 0.3, "tau_0": 0.55, "window": 32, "entropies": [0.1, 2.3], "tokens":
//   "wd"}
//
// One entropy (nats) and one letter a token: d contains "\n\n", n is "\n", w is anything else. Optional, for
// the ablations: "token_gate_only" (true/false), "estimator" (a StepEstimatorName), "ema_decay" (0..1).
// "temperatures", which a recording may hold, is not read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backend/token_record.h"
#include "base/json.h"
#include "sampling/reset_policy.h"

namespace fourstep {

inline constexpr size_t kMaxTraceBytes = size_t{32} << 20;
inline constexpr size_t kMaxTraceTokens = size_t{1} << 20;

struct PolicyTrace {
  Json id;  // a string or an integer
  PolicyParams params;
  double t_high = 0, t_low = 0;    // as written: what the replay answers with
  std::vector<double> entropies;   // [num_tokens] nats, 0..64
  std::vector<TokenClass> tokens;  // [num_tokens]
};

// Throws Error (naming `where`) for anything else than such a line: unknown keys, other letters, unequal
// lengths.
PolicyTrace ParsePolicyTrace(std::string_view line, const std::string& where);

// {"id": ..., "temperatures": [...]}; `with_details` adds, one value a token, "steps", "step_entropies",
// "mean_entropies" and "thresholds".
Json ReplayPolicyTrace(const PolicyTrace& trace, bool with_details);

}  // namespace fourstep
