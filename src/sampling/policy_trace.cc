#include "sampling/policy_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "sampling/params.h"
#include "sampling/policy.h"

namespace fourstep {
namespace {

constexpr std::string_view kKeys[] = {"id",        "t_high",          "t_low",    "tau_0",
                                      "window",    "entropies",       "tokens",   "temperatures",
                                      "estimator", "token_gate_only", "ema_decay"};

std::vector<double> ReadEntropies(const JsonReader& reader) {
  const Json& values = reader.Get("entropies");
  if (!values.is_array()) throw Errorf(reader.where(), "\"entropies\" is not an array of numbers");
  if (values.size() > kMaxTraceTokens) {
    throw Errorf(reader.where(), "{} entropies, at most {} are replayed", values.size(), kMaxTraceTokens);
  }
  std::vector<double> entropies;
  entropies.reserve(values.size());
  for (const Json& value : values) {
    const double entropy = value.is_number() ? value.get<double>() : -1;
    if (!(entropy >= 0 && entropy <= kMaxEntropy)) {
      throw Errorf(reader.where(), "entropies[{}] is {}, expected a number in 0..{}", entropies.size(),
                   Printable(DumpJson(value), 40), kMaxEntropy);
    }
    entropies.push_back(entropy);
  }
  return entropies;
}

std::vector<TokenClass> ReadTokens(const JsonReader& reader, size_t num_tokens) {
  const std::string letters = reader.String("tokens");
  if (letters.size() != num_tokens) {
    throw Errorf(reader.where(), "\"tokens\" has {} letters for {} entropies", letters.size(), num_tokens);
  }
  std::vector<TokenClass> tokens;
  tokens.reserve(num_tokens);
  for (const char letter : letters) {
    if (letter != 'd' && letter != 'n' && letter != 'w') {
      throw Errorf(reader.where(), "tokens[{}] is \"{}\", expected d, n or w", tokens.size(),
                   Printable(std::string_view(&letter, 1)));
    }
    tokens.push_back(letter == 'd'   ? TokenClass::kBlankLine
                     : letter == 'n' ? TokenClass::kNewline
                                     : TokenClass::kOther);
  }
  return tokens;
}

// The number people mean by a float: 0.1f is 0.1, not 0.100000001490116.
double Shortest(float value) {
  return std::strtod(fmt::format("{}", value).c_str(), nullptr);
}

}  // namespace

PolicyTrace ParsePolicyTrace(std::string_view line, const std::string& where) {
  const Json json = ParseJson(line, where, {.max_bytes = kMaxTraceBytes, .max_depth = 4});
  const JsonReader reader(json, where);
  for (const auto& [key, value] : json.items()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      throw Errorf(where, "unknown key \"{}\"", Printable(key));
    }
  }
  PolicyTrace trace;
  trace.id = reader.Get("id");
  if (!trace.id.is_string() && !trace.id.is_number_integer()) {
    throw Errorf(where, "\"id\" is {}, expected a string or an integer", Printable(DumpJson(trace.id), 40));
  }
  trace.t_high = reader.Number("t_high", 0, kMaxTemperature);
  trace.t_low = reader.Number("t_low", 0, kMaxTemperature);
  PolicyParams& params = trace.params;
  params.kind = PolicyKind::kReset;
  params.t_high = static_cast<float>(trace.t_high);
  params.t_low = static_cast<float>(trace.t_low);
  params.tau_0 = static_cast<float>(reader.Number("tau_0", 0, kMaxEntropy));
  params.window = static_cast<int32_t>(reader.Int("window", 1, kMaxPolicyWindow));
  params.token_gate_only = reader.BoolOr("token_gate_only", false) ? 1 : 0;
  params.estimator = ParseStepEstimator(reader.StringOr("estimator", "hybrid"), where);
  params.ema_decay = static_cast<float>(reader.NumberOr("ema_decay", 0.9, 0, 1));
  trace.entropies = ReadEntropies(reader);
  trace.tokens = ReadTokens(reader, trace.entropies.size());
  return trace;
}

Json ReplayPolicyTrace(const PolicyTrace& trace, bool with_details) {
  PolicyState state = {};
  Json temperatures = Json::array(), steps = Json::array(), step_entropies = Json::array(),
       mean_entropies = Json::array(), thresholds = Json::array();
  for (size_t i = 0; i < trace.entropies.size(); ++i) {
    const double entropy = trace.entropies[i];
    const PolicyDecision decision = ChooseTemperature(state, trace.params, entropy, /*log_vocab=*/0);
    temperatures.push_back(decision.temperature == trace.params.t_high ? trace.t_high : trace.t_low);
    if (with_details) {
      steps.push_back(state.step);
      step_entropies.push_back(Shortest(decision.step_entropy));
      mean_entropies.push_back(Shortest(decision.mean_entropy));
      thresholds.push_back(Shortest(decision.threshold));
    }
    Observe(state, trace.params, entropy, trace.tokens[i]);
  }
  Json out = {{"id", trace.id}, {"temperatures", std::move(temperatures)}};
  if (with_details) {
    out["steps"] = std::move(steps);
    out["step_entropies"] = std::move(step_entropies);
    out["mean_entropies"] = std::move(mean_entropies);
    out["thresholds"] = std::move(thresholds);
  }
  return out;
}

}  // namespace fourstep
