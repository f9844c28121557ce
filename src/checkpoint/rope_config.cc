// The rope settings of config.json: rope_theta and rope_scaling, or rope_parameters of newer files.
#include <algorithm>
#include <initializer_list>

#include "base/error.h"
#include "checkpoint/hf_config.h"

namespace fourstep {
namespace {

constexpr double kMaxTheta = 1e12, kMaxFactor = 1e6, kMaxPositions = 1e9;

// "rope_type", which older files call "type".
std::string TypeName(const JsonReader& rope) {
  const std::string name = rope.StringOr("rope_type", rope.StringOr("type", "default"));
  if (rope.Has("type") && rope.String("type") != name) {
    throw Errorf(rope.where(), "\"type\" and \"rope_type\" are \"{}\" and \"{}\", expected one of them",
                 Printable(rope.String("type"), 40), Printable(name, 40));
  }
  return name;
}

// A null is as good as an absent key.
void ExpectKeys(const Json& json, const JsonReader& rope, std::initializer_list<std::string_view> keys) {
  constexpr std::string_view kAlways[] = {"rope_type", "type", "rope_theta", "partial_rotary_factor"};
  for (const auto& [key, value] : json.items()) {
    const bool is_known = std::find(std::begin(kAlways), std::end(kAlways), key) != std::end(kAlways) ||
                          std::find(keys.begin(), keys.end(), key) != keys.end();
    if (!is_known && !value.is_null()) {
      throw Errorf(rope.where(), "unknown key \"{}\" for this rope type", Printable(key));
    }
  }
}

void ReadLlama3(const JsonReader& rope, RopeConfig& config) {
  config.original_max_positions = rope.Number("original_max_position_embeddings", 1, kMaxPositions);
  config.low_freq_factor = rope.Number("low_freq_factor", 1e-6, kMaxFactor);
  config.high_freq_factor = rope.Number("high_freq_factor", 1e-6, kMaxFactor);
  if (config.high_freq_factor <= config.low_freq_factor) {
    throw Errorf(rope.where(), "\"high_freq_factor\" is {}, expected more than \"low_freq_factor\", {}",
                 config.high_freq_factor, config.low_freq_factor);
  }
}

void ReadYarn(const JsonReader& rope, int64_t max_positions, RopeConfig& config) {
  config.original_max_positions =
      rope.NumberOr("original_max_position_embeddings", static_cast<double>(max_positions), 1, kMaxPositions);
  config.beta_fast = rope.NumberOr("beta_fast", 32, 1e-6, kMaxFactor);
  config.beta_slow = rope.NumberOr("beta_slow", 1, 1e-6, kMaxFactor);
  if (config.beta_fast < config.beta_slow) {
    throw Errorf(rope.where(), "\"beta_fast\" is {}, expected at least \"beta_slow\", {}", config.beta_fast,
                 config.beta_slow);
  }
  const auto optional = [&](const char* key) -> std::optional<double> {
    if (!rope.Has(key)) return std::nullopt;
    return rope.Number(key, 1e-6, kMaxFactor);
  };
  config.attention_factor = optional("attention_factor");
  config.mscale = optional("mscale");
  config.mscale_all_dim = optional("mscale_all_dim");
  config.truncate = rope.BoolOr("truncate", true);
}

}  // namespace

RopeConfig ParseRopeConfig(const Json& config_json, int64_t max_positions, const std::string& where) {
  const JsonReader config(config_json, where);
  RopeConfig result;
  result.theta = config.NumberOr("rope_theta", result.theta, 1.0001, kMaxTheta);
  const bool is_newer = config.Has("rope_parameters");
  if (is_newer && config.Has("rope_scaling")) {
    throw Error(where, "\"rope_parameters\" and \"rope_scaling\" are both there, expected one of them");
  }
  if (!is_newer && !config.Has("rope_scaling")) return result;
  const std::string key = is_newer ? "rope_parameters" : "rope_scaling";
  const Json& json = config.Get(key);
  const JsonReader rope(json, where + ": " + key);
  const double theta = rope.NumberOr("rope_theta", result.theta, 1.0001, kMaxTheta);
  if (config.Has("rope_theta") && theta != result.theta) {
    throw Errorf(rope.where(), "\"rope_theta\" is {}, but {} outside", theta, result.theta);
  }
  result.theta = theta;
  if (rope.NumberOr("partial_rotary_factor", 1, 0, kMaxFactor) != 1) {
    throw Error(rope.where(), "\"partial_rotary_factor\" is not 1, which is not supported");
  }
  const std::string type = TypeName(rope);
  if (type == "default") {
    ExpectKeys(json, rope, {});
    return result;
  }
  if (type == "linear") {
    result.type = RopeType::kLinear;
    ExpectKeys(json, rope, {"factor"});
  } else if (type == "llama3") {
    result.type = RopeType::kLlama3;
    ExpectKeys(json, rope,
               {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"});
    ReadLlama3(rope, result);
  } else if (type == "yarn") {
    result.type = RopeType::kYarn;
    ExpectKeys(json, rope,
               {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor",
                "mscale", "mscale_all_dim", "truncate"});
    ReadYarn(rope, max_positions, result);
  } else {
    throw Errorf(rope.where(), "rope type \"{}\" is not supported, expected default, linear, llama3 or yarn",
                 Printable(type, 40));
  }
  result.factor = rope.Number("factor", 1, kMaxFactor);
  return result;
}

}  // namespace fourstep
