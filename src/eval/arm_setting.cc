#include "eval/arm_setting.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "formats/kv_cache_format.h"
#include "runtime/sampling_defaults.h"
#include "sampling/params.h"

namespace fourstep {
namespace {

template <class Number>
Number ParseNumber(std::string_view text, const std::string& where) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Errorf(where, "\"{}\" is no number", Printable(text));
  }
  return value;
}

struct Key {
  std::string_view name;
  std::function<void(ArmSetting&, std::string_view value, const std::string& where)> set;
};

Key NumberKey(std::string_view name, std::optional<double> Sampling::*field) {
  return {name, [field](ArmSetting& arm, std::string_view value, const std::string& where) {
            arm.sampling.*field = ParseNumber<double>(value, where);
          }};
}

Key IntegerKey(std::string_view name, std::optional<int32_t> Sampling::*field) {
  return {name, [field](ArmSetting& arm, std::string_view value, const std::string& where) {
            arm.sampling.*field = ParseNumber<int32_t>(value, where);
          }};
}

Key TextKey(std::string_view name, std::string Sampling::*field) {
  return {name, [field](ArmSetting& arm, std::string_view value, const std::string&) {
            arm.sampling.*field = value;
          }};
}

Key TextKey(std::string_view name, std::string ArmSetting::*field) {
  return {name, [field](ArmSetting& arm, std::string_view value, const std::string& where) {
            if (value.empty()) throw Error(where, "is empty");
            arm.*field = value;
          }};
}

Key NameKey(std::string_view name, std::string ArmSetting::*field, std::vector<std::string> names) {
  return {name, [field, names = std::move(names)](ArmSetting& arm, std::string_view value,
                                                  const std::string& where) {
            if (std::find(names.begin(), names.end(), value) == names.end()) {
              throw Errorf(where, "\"{}\" is not one of {}", Printable(value), fmt::join(names, ", "));
            }
            arm.*field = value;
          }};
}

const std::vector<Key>& Keys() {
  static const std::vector<Key> kKeys = {
      TextKey("policy", &Sampling::policy),
      NumberKey("temperature", &Sampling::temperature),
      NumberKey("t-high", &Sampling::t_high),
      NumberKey("t-low", &Sampling::t_low),
      NumberKey("tau-0", &Sampling::tau_0),
      IntegerKey("window", &Sampling::window),
      {"token-gate-only",
       [](ArmSetting& arm, std::string_view value, const std::string& where) {
         if (!value.empty()) throw Error(where, "takes no value");
         arm.sampling.token_gate_only = true;
       }},
      TextKey("step-estimator", &Sampling::step_estimator),
      NumberKey("dynatemp-low", &Sampling::dynatemp_low),
      NumberKey("dynatemp-high", &Sampling::dynatemp_high),
      NumberKey("dynatemp-exponent", &Sampling::dynatemp_exponent),
      NumberKey("top-p", &Sampling::top_p),
      IntegerKey("top-k", &Sampling::top_k),
      NumberKey("min-p", &Sampling::min_p),
      TextKey("model", &ArmSetting::model),
      NameKey("numerics", &ArmSetting::numerics, {"w4a4", "w4a16", "bf16"}),
      NameKey("kv-cache", &ArmSetting::kv_cache, KvCacheFormatNames()),
      NameKey("backend", &ArmSetting::backend, BackendNames()),
  };
  return kKeys;
}

bool IsPolicyName(std::string_view text) {
  const std::string_view names[] = {"fixed", "greedy", "reset", "dynatemp"};
  return std::find(std::begin(names), std::end(names), text) != std::end(names);
}

const Key& FindKey(std::string_view name, const std::string& where) {
  std::string names;
  for (const Key& key : Keys()) {
    if (key.name == name) return key;
    names += (names.empty() ? "" : ", ") + std::string(key.name);
  }
  throw Errorf(where, "\"{}\" is no policy (fixed, greedy, reset, dynatemp) and no key ({})", Printable(name),
               names);
}

void SetOne(ArmSetting& arm, std::string_view part, std::set<std::string_view>& seen,
            const std::string& where) {
  const size_t equals = part.find('=');
  std::string_view name = part.substr(0, equals);
  std::string_view value = equals == part.npos ? std::string_view() : part.substr(equals + 1);
  if (equals == part.npos && IsPolicyName(part)) {
    name = "policy";
    value = part;
  }
  const Key& key = FindKey(name, where);
  if (!seen.insert(key.name).second) throw Errorf(where, "{} stands twice", key.name);
  if (equals == part.npos && value.empty() && key.name != "token-gate-only") {
    throw Errorf(where, "{} has no value", key.name);
  }
  key.set(arm, value, where + ": " + std::string(key.name));
}

}  // namespace

ArmSetting ParseArm(std::string_view text) {
  const size_t equals = std::min(text.find('='), text.size());
  ArmSetting arm;
  arm.name = text.substr(0, equals);
  const bool is_plain =
      Printable(arm.name, kMaxArmNameBytes) == arm.name && arm.name.find(',') == arm.name.npos;
  if (arm.name.empty() || !is_plain || equals == text.size()) {
    throw Errorf("--arm", "\"{}\" is not NAME=POLICY,KEY=VALUE,... with a name of at most {} bytes",
                 Printable(text), kMaxArmNameBytes);
  }
  const std::string where = "--arm " + arm.name;
  if (ReplaceInvalidUtf8(std::string(text)) != text) throw Error(where, "is not valid UTF-8");
  std::set<std::string_view> seen;
  std::string_view rest = text.substr(equals + 1);
  while (true) {
    const size_t comma = std::min(rest.find(','), rest.size());
    SetOne(arm, rest.substr(0, comma), seen, where);
    if (comma == rest.size()) break;
    rest.remove_prefix(comma + 1);
  }
  try {
    CheckSampling(arm.sampling);
  } catch (const Error& error) {
    throw Error(where, error.what());
  }
  return arm;
}

}  // namespace fourstep
