#include "cli/sampling_options.h"

#include <limits>

#include "base/philox.h"
#include "cli/option_checks.h"
#include "sampling/params.h"
#include "sampling/reset_policy.h"

namespace fourstep::cli {
namespace {

// Philox's counter has a high half that says what a draw is for; sampling uses small numbers.
constexpr uint64_t kPurposeSeeds = uint64_t{1} << 63;

// An option of the group, shown in the help as `--name VALUE  help`.
class OptionAdder {
 public:
  explicit OptionAdder(CLI::App& command) : command_(command) {}

  template <class T, class Check>
  void Add(const char* name, T& variable, const char* value, const char* help, const Check& check) {
    command_.add_option(name, variable, help)->check(check)->option_text(value)->group("Sampling");
  }
  void AddFlag(const char* name, bool& variable, const char* help) {
    command_.add_flag(name, variable, help)->group("Sampling");
  }

 private:
  CLI::App& command_;
};

void AddPolicyOptions(OptionAdder& adder, Sampling& s) {
  const NumberIn temperature(0, kMaxTemperature);
  adder.Add(
      "--policy", s.policy, "NAME",
      "reset (two temperatures, by entropy and step), fixed, greedy or dynatemp; default: the one that "
      "the options below belong to, else reset where its parameters are known for the model, else fixed",
      CLI::IsMember({"reset", "fixed", "greedy", "dynatemp"}));
  adder.Add("--temperature", s.temperature, "T", "fixed: the temperature", temperature);
  adder.Add("--t-high", s.t_high, "T", "reset: temperature of uncertain tokens", temperature);
  adder.Add("--t-low", s.t_low, "T", "reset: temperature of certain tokens", temperature);
  adder.Add("--tau-0", s.tau_0, "NATS", "reset: entropy from which a token counts as uncertain",
            NumberIn(0, kMaxEntropy));
  adder.Add("--window", s.window, "TOKENS", "reset: how far the estimate of a step's entropy looks back",
            CLI::Range(int32_t{1}, kMaxPolicyWindow));
  adder.AddFlag("--token-gate-only", s.token_gate_only, "reset, ablation: the threshold is always tau-0");
  adder.Add("--step-estimator", s.step_estimator, "NAME",
            "reset, ablation: hybrid, causal-mean, ema-from-window or ema-from-first",
            CLI::IsMember({"hybrid", "causal-mean", "ema-from-window", "ema-from-first"}));
  adder.Add("--dynatemp-low", s.dynatemp_low, "T", "dynatemp: temperature at entropy 0", temperature);
  adder.Add("--dynatemp-high", s.dynatemp_high, "T", "dynatemp: temperature at the largest entropy",
            temperature);
  adder.Add("--dynatemp-exponent", s.dynatemp_exponent, "X", "dynatemp: how the entropy bends between them",
            NumberIn(0, 100));
}

}  // namespace

void AddSamplingOptions(CLI::App& command, SamplingOptions& options) {
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  OptionAdder adder(command);
  Sampling& s = options.sampling;
  AddPolicyOptions(adder, s);
  adder.Add("--top-p", s.top_p, "P", "Draw from the likeliest tokens that hold this probability",
            NumberIn(0, 1));
  adder.Add("--top-k", s.top_k, "K", "Draw from the K likeliest tokens; 0: from all",
            CLI::Range(int32_t{0}, kMax));
  adder.Add("--min-p", s.min_p, "P",
            "Draw from the tokens with this share of the likeliest one's probability", NumberIn(0, 1));
  adder.Add("--seed", s.seed, "N", "Same seed, same tokens; default: 0", SeedFault);
  adder.Add("--max-tokens", options.max_tokens, "N", "Of an answer; default: as far as the context reaches",
            CLI::Range(int32_t{1}, kMax));
}

void SamplingOptions::Set(Request& request) const {
  request.sampling = sampling;
  request.max_tokens = max_tokens;
}

uint64_t SeedOfIndex(uint64_t seed, uint64_t index) {
  const Philox4 bits = Philox(seed, index, kPurposeSeeds);
  return uint64_t{bits.v[0]} << 32 | bits.v[1];
}

}  // namespace fourstep::cli
