// What a request asks of the sampler, and what the sampler says of every token it drew. Plain data: the same
// bytes on the host and on a device. Entropies are in nats, of the softmax of the raw logits.
#pragma once

#include <cstdint>
#include <vector>

namespace fourstep {

enum class PolicyKind : int32_t { kFixed, kGreedy, kReset, kDynatemp };

// How the entropy of the step is estimated (the last three are ablations of the published method).
enum class StepEstimator : int32_t {
  kHybrid,         // window mean until the step has `window` tokens, then the step's causal mean
  kCausalMean,     // the step's causal mean from its first token on
  kEmaFromWindow,  // exponential moving average, started from the window mean
  kEmaFromFirst,   // exponential moving average, started from the step's first token
};

struct PolicyParams {
  PolicyKind kind = PolicyKind::kFixed;
  float temperature = 0.6f;  // kFixed
  // kReset
  float t_high = 1.0f, t_low = 0.3f;
  float tau_0 = 0.55f;          // nats
  int32_t window = 32;          // tokens, 1..kMaxPolicyWindow
  int32_t token_gate_only = 0;  // ablation: the threshold is always tau_0
  StepEstimator estimator = StepEstimator::kHybrid;
  float ema_decay = 0.9f;  // weight of the past in the moving averages
  // kDynatemp: T = low + (high - low) * (H / ln vocab)^exponent
  float dynatemp_low = 0.1f, dynatemp_high = 1.0f, dynatemp_exponent = 1.0f;
};
inline constexpr int32_t kMaxPolicyWindow = 64;

struct SamplingParams {
  PolicyParams policy;
  uint64_t seed = 0;
  int32_t top_k = 0;             // 0: off
  float top_p = 0.95f;           // 1: off
  float min_p = 0.0f;            // 0: off; relative to the most probable token, after the temperature
  float repetition_penalty = 1;  // 1: off; of tokens of the prompt and of the answer
  float presence_penalty = 0, frequency_penalty = 0;  // 0: off; of tokens of the answer
  int32_t top_logprobs = 0;  // how many of the most probable tokens are told, 0..kMaxTopLogprobs
};
inline constexpr int32_t kMaxTopLogprobs = 20;

// One drawn token. -1 and 0 where a value has no meaning yet.
struct TokenRecord {
  int32_t slot = -1;
  int32_t token = -1;
  int32_t output_position = -1;  // 0 for the first token of the answer
  int32_t step = 0;              // reasoning step, counted from 0
  float temperature = 0;         // what the logits were divided by; 0: arg-max
  float entropy = 0;             // H_t
  float step_entropy = 0;        // Hstep_t, the estimate that the policy used
  float mean_entropy = 0;        // Hbar_t
  float threshold = 0;           // tau_t
  float logprob = 0;             // ln p of the token, raw logits
};

struct TokenLogprob {
  int32_t token = -1;
  float logprob = 0;  // ln p, raw logits
};

// What the host reads of a draw.
struct DrawResult : TokenRecord {
  // As many as were asked for, or as there are: of the tokens that exist, the most probable first, then the
  // lowest id; none of probability 0.
  std::vector<TokenLogprob> top = {};
};

}  // namespace fourstep
