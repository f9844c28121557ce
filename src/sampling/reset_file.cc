#include "sampling/reset_file.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "sampling/params.h"
#include "sampling/reset_policy.h"

namespace fourstep {
namespace {

constexpr std::string_view kFormat = "fourstep-reset-1";
constexpr size_t kMaxBytes = size_t{64} << 10;
constexpr JsonLimits kLimits = {.max_bytes = kMaxBytes, .max_depth = 8};
constexpr std::string_view kKeys[] = {"format", "t_low",      "t_high",     "tau_0",
                                      "window", "percentile", "tau_0_from", "temperatures_from",
                                      "choice"};

ResetFile FromJson(const Json& json, const std::string& where) {
  const JsonReader reader(json, where);
  for (const auto& [key, value] : json.items()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      throw Errorf(where, "unknown key \"{}\"", Printable(key));
    }
  }
  const std::string format = reader.String("format");
  if (format != kFormat) {
    throw Errorf(where, "\"format\" is \"{}\", expected \"{}\"", Printable(format), kFormat);
  }
  ResetFile file;
  file.t_low = reader.Number("t_low", 0, kMaxTemperature);
  file.t_high = reader.Number("t_high", 0, kMaxTemperature);
  file.tau_0 = reader.Number("tau_0", 0, kMaxEntropy);
  file.window = static_cast<int32_t>(reader.Int("window", 1, kMaxPolicyWindow));
  file.percentile = reader.Number("percentile", 0, 100);
  file.tau_0_from = reader.StringOr("tau_0_from", "");
  file.temperatures_from = reader.StringOr("temperatures_from", "");
  if (reader.Has("choice")) file.choice = reader.Get("choice");
  if (!file.choice.is_null() && !file.choice.is_object()) throw Error(where, "\"choice\" is no object");
  return file;
}

}  // namespace

PolicyParams ResetFile::policy() const {
  PolicyParams params;
  params.kind = PolicyKind::kReset;
  params.t_low = static_cast<float>(t_low);
  params.t_high = static_cast<float>(t_high);
  params.tau_0 = static_cast<float>(tau_0);
  params.window = window;
  return params;
}

ResetFile ReadResetFile(const std::filesystem::path& path) {
  const std::string where = path.string();
  return FromJson(ParseJson(ReadFile(path, kMaxBytes), where, kLimits), where);
}

void WriteResetFile(const std::filesystem::path& path, const ResetFile& file) {
  nlohmann::ordered_json json = {{"format", kFormat},
                                 {"t_low", file.t_low},
                                 {"t_high", file.t_high},
                                 {"tau_0", file.tau_0},
                                 {"window", file.window},
                                 {"percentile", file.percentile},
                                 {"tau_0_from", file.tau_0_from},
                                 {"temperatures_from", file.temperatures_from}};
  if (!file.choice.is_null()) json["choice"] = file.choice;
  const std::string text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  FromJson(ParseJson(text, path.string(), kLimits), path.string());  // what is written can be read
  WriteFile(path, text);
}

}  // namespace fourstep
