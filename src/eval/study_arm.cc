#include "eval/study_arm.h"

#include <algorithm>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "runtime/sampling_defaults.h"

namespace fourstep {
namespace {

// Of a model: what its arms share.
struct ModelFacts {
  SamplingDefaults defaults;
  std::string fingerprint;
};

ModelFacts FactsOf(const std::string& model) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(model, ignored))
    throw Error(Printable(model), "is no folder of a model");
  const Checkpoint checkpoint = Checkpoint::Open(model);
  return {SamplingDefaults::Load(model, checkpoint.generation()), CheckpointFingerprint(model)};
}

void CheckNames(const std::vector<ArmSetting>& settings) {
  if (settings.empty()) throw Error("--arm", "is missing, expected one or more");
  std::set<std::string> names;
  for (const ArmSetting& setting : settings) {
    if (!names.insert(setting.name).second) throw Errorf("--arm", "two are called {}", setting.name);
  }
}

bool IsFixed(const SamplingDefaults& defaults, const Sampling& sampling) {
  const PolicyKind kind = defaults.Resolve(sampling).policy.kind;
  return kind == PolicyKind::kFixed || kind == PolicyKind::kGreedy;
}

std::string Described(const SamplingDefaults& defaults, const ArmSetting& setting) {
  try {
    return defaults.Describe(setting.sampling);
  } catch (const Error& error) {
    throw Error("--arm " + setting.name, error.what());
  }
}

std::string FolderName(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::path absolute = std::filesystem::absolute(path, ignored).lexically_normal();
  return (absolute.has_filename() ? absolute : absolute.parent_path()).filename().string();
}

constexpr size_t kWholeBytes = size_t{64} << 20;  // hashed whole up to this size
constexpr size_t kPieces = 64, kPieceBytes = size_t{1} << 20;

uint64_t HashFile(const std::filesystem::path& path, uint64_t hash) {
  std::error_code ignored;
  const uintmax_t size = std::filesystem::file_size(path, ignored);
  hash = HashText(fmt::format("{}:{}", path.filename().string(), size), hash);
  if (size == 0) return hash;
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (bytes.size() <= kWholeBytes) return HashText(bytes, hash);
  const size_t stride = (bytes.size() - kPieceBytes) / (kPieces - 1);
  for (size_t i = 0; i < kPieces; ++i) hash = HashText(bytes.substr(i * stride, kPieceBytes), hash);
  return hash;
}

}  // namespace

std::string CheckpointFingerprint(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    // reset.json counts through the policy that an arm gets from it.
    const bool counts = (extension == ".json" && entry.path().filename() != "reset.json") ||
                        extension == ".safetensors" || extension == ".jinja";
    if (counts && entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  uint64_t hash = HashText("");
  for (const std::filesystem::path& file : files) hash = HashFile(file, hash);
  return fmt::format("{:016x}", hash);
}

bool KnowsReset(const std::string& model) {
  return SamplingDefaults::Load(model, Checkpoint::Open(model).generation()).reset.has_value();
}

std::vector<ResolvedArm> ResolveArms(const std::vector<ArmSetting>& settings, const EngineOptions& defaults) {
  CheckNames(settings);
  std::map<std::string, ModelFacts> models;
  std::vector<ResolvedArm> arms;
  for (const ArmSetting& setting : settings) {
    ResolvedArm& arm = arms.emplace_back();
    arm.engine = defaults;
    arm.sampling = setting.sampling;
    if (!setting.model.empty()) arm.engine.model = setting.model;
    if (!setting.numerics.empty()) arm.engine.numerics = setting.numerics;
    if (!setting.kv_cache.empty()) arm.engine.kv_cache = setting.kv_cache;
    if (!setting.backend.empty()) arm.engine.backend = setting.backend;
    auto facts = models.find(arm.engine.model);
    if (facts == models.end()) facts = models.emplace(arm.engine.model, FactsOf(arm.engine.model)).first;
    const EngineOptions& engine = arm.engine;
    Json family = {{"model", FolderName(engine.model)},
                   {"checkpoint", facts->second.fingerprint},
                   {"numerics", engine.numerics.empty() ? "default" : engine.numerics},
                   {"backend", engine.backend + (engine.cpu_path.empty() ? "" : ":" + engine.cpu_path)},
                   {"chat_template", engine.chat_template.empty() ? "default" : engine.chat_template}};
    // Only where it was chosen: answers of older files were given without the choice.
    if (!engine.kv_cache.empty()) family["kv_cache"] = engine.kv_cache;
    Json identity = family;
    identity["policy"] = Described(facts->second.defaults, setting);
    arm.arm = {.name = setting.name,
               .identity = DumpJson(identity),
               .is_fixed = IsFixed(facts->second.defaults, setting.sampling),
               .family = DumpJson(family)};
  }
  return arms;
}

std::vector<ResolvedArm> ResolveEndpointArms(const std::vector<ArmSetting>& settings, const std::string& url,
                                             const std::string& model) {
  constexpr double kTemperature = 0.6, kTopP = 0.95;  // stated, so that no default of the server's decides
  CheckNames(settings);
  std::vector<ResolvedArm> arms;
  for (const ArmSetting& setting : settings) {
    const std::string where = "--arm " + setting.name;
    if (!setting.numerics.empty() || !setting.kv_cache.empty() || !setting.backend.empty()) {
      throw Error(where, "numerics, kv-cache and backend are the server's business");
    }
    const SamplingDefaults defaults;
    ResolvedArm& arm = arms.emplace_back();
    arm.sampling = setting.sampling;
    if (arm.sampling.policy.empty()) arm.sampling.policy = "fixed";
    if (arm.sampling.policy == "fixed" && !arm.sampling.temperature) arm.sampling.temperature = kTemperature;
    if (!arm.sampling.top_p) arm.sampling.top_p = kTopP;
    arm.engine.model = setting.model.empty() ? model : setting.model;
    const Json family = {{"endpoint", url}, {"model", arm.engine.model}};
    Json identity = family;
    ArmSetting definite = setting;
    definite.sampling = arm.sampling;
    identity["policy"] = Described(defaults, definite);
    if (!IsFixed(defaults, arm.sampling))
      throw Error(where, "a server takes the policies fixed and greedy only");
    arm.arm = {
        .name = setting.name, .identity = DumpJson(identity), .is_fixed = true, .family = DumpJson(family)};
  }
  return arms;
}

}  // namespace fourstep
