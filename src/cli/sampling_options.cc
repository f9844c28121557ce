#include "cli/sampling_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "backend/sampling_request.h"
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
  // One that may be given many times, with one value each.
  void AddList(const char* name, std::function<void(const std::string&)> take, const char* value,
               const char* help, const std::function<std::string(const std::string&)>& check) {
    const auto take_all = [take = std::move(take)](const std::vector<std::string>& texts) {
      for (const std::string& text : texts) take(text);
    };
    command_.add_option_function<std::vector<std::string>>(name, take_all, help)
        ->allow_extra_args(false)
        ->check(check)
        ->option_text(value)
        ->group("Sampling");
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

// "ID=BIAS".
std::optional<LogitBias> ParseBias(const std::string& text) {
  LogitBias entry;
  const size_t equals = std::min(text.find('='), text.size());
  const char *middle = text.data() + equals, *end = text.data() + text.size();
  const auto [id_end, id_error] = std::from_chars(text.data(), middle, entry.token);
  if (id_error != std::errc() || id_end != middle || middle == end || entry.token < 0) return std::nullopt;
  const auto [bias_end, bias_error] = std::from_chars(middle + 1, end, entry.bias);
  if (bias_error != std::errc() || bias_end != end || !(std::abs(entry.bias) <= kMaxBias))
    return std::nullopt;
  return entry;
}

std::string BiasFault(const std::string& text) {
  if (ParseBias(text)) return "";
  return fmt::format("Value {} is no ID=BIAS with a token's id and a number from -{} to {}", text, kMaxBias,
                     kMaxBias);
}

std::string TextFault(const std::string& text) {
  return text.empty() ? "An answer without text is none" : "";
}

void AddAdjustmentOptions(OptionAdder& adder, Sampling& s) {
  adder.Add("--repetition-penalty", s.repetition_penalty, "X",
            "Divides positive logits of tokens that the prompt or the answer has, multiplies negative ones",
            NumberIn(kMinRepetitionPenalty, kMaxRepetitionPenalty));
  adder.Add("--presence-penalty", s.presence_penalty, "X",
            "Taken from the logits of tokens that the answer has", NumberIn(-kMaxPenalty, kMaxPenalty));
  adder.Add("--frequency-penalty", s.frequency_penalty, "X",
            "Taken from them as often as the answer has the token", NumberIn(-kMaxPenalty, kMaxPenalty));
  adder.AddList(
      "--logit-bias", [&s](const std::string& text) { s.logit_bias.push_back(*ParseBias(text)); }, "ID=BIAS",
      "Added to the logit of a token; -100 forbids it. May be given many times", BiasFault);
  adder.Add("--regex", s.regex, "PATTERN",
            "The answer, after the thinking if there is any, matches it as a whole: docs/sampling.md has its "
            "language",
            TextFault);
  adder.AddList(
      "--choice", [&s](const std::string& text) { s.choices.push_back(text); }, "TEXT",
      "The answer is this text, or another one given in this way", TextFault);
  adder.Add("--top-logprobs", s.top_logprobs, "N",
            "Tell the N likeliest tokens beside each token, with --json or --show all",
            CLI::Range(int32_t{0}, kMaxTopLogprobs));
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
  AddAdjustmentOptions(adder, s);
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
