#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/chat_template.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/tokenizer.h"
#include "cli/checkpoint_inventory.h"
#include "cli/commands.h"
#include "cli/default_model.h"
#include "cli/json_lines.h"
#include "model/model.h"
#include "sampling/reset_file.h"

namespace fourstep::cli {
namespace {

namespace fs = std::filesystem;

std::string_view RopeTypeName(RopeType type) {
  switch (type) {
    case RopeType::kDefault:
      return "default";
    case RopeType::kLinear:
      return "linear";
    case RopeType::kLlama3:
      return "llama3";
    case RopeType::kYarn:
      return "yarn";
  }
  return "";
}

// What lies beside the weights: absent where the file is, an Error where it is wrong.
struct Companions {
  std::optional<int32_t> tokenizer_size;
  std::string chat_template, chat_template_fault;  // both empty where there is none
  std::optional<ResetFile> reset;
};

Companions ReadCompanions(const fs::path& folder) {
  Companions result;
  if (fs::exists(folder / "tokenizer.json")) result.tokenizer_size = Tokenizer::Load(folder).vocab_size();
  if (fs::exists(folder / "chat_template.jinja") || fs::exists(folder / "tokenizer_config.json")) {
    try {
      result.chat_template = ChatTemplate::Load(folder).name();
    } catch (const Error& error) {  // no fault of the checkpoint: --chat-template helps
      result.chat_template_fault = error.what();
    }
  }
  if (fs::exists(folder / "reset.json")) result.reset = ReadResetFile(folder / "reset.json");
  return result;
}

Json KindJson(const ModuleKind& kind) {
  return {{"kind", kind.name},
          {"modules", kind.num_modules},
          {"formats", kind.formats},
          {"input_scales", kind.num_input_scales},
          {"pre_quant_scales", kind.num_pre_quant_scales},
          {"biases", kind.num_biases},
          {"parameters", kind.num_parameters},
          {"bytes", kind.size_bytes}};
}

Json AsJson(const Checkpoint& checkpoint, const CheckpointInventory& inventory,
            const Companions& companions) {
  const HfConfig& c = checkpoint.config();
  Json kinds = Json::array(), numerics = Json::array();
  for (const ModuleKind& kind : inventory.kinds) kinds.push_back(KindJson(kind));
  for (const Numerics n : inventory.numerics) numerics.push_back(NumericsName(n));
  Json kv_scales = Json::array();
  for (const KvScales& scales : inventory.kv_scales) kv_scales.push_back({scales.k, scales.v});
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  Json out = {
      {"folder", checkpoint.folder().string()},
      {"architecture", c.architecture},
      {"layers", c.num_layers},
      {"hidden_size", c.hidden_size},
      {"intermediate_size", c.intermediate_size},
      {"heads", c.num_heads},
      {"kv_heads", c.num_kv_heads},
      {"head_dim", c.head_dim},
      {"vocab_size", c.vocab_size},
      {"max_positions", c.max_positions},
      {"rope", {{"type", RopeTypeName(c.rope.type)}, {"theta", c.rope.theta}, {"factor", c.rope.factor}}},
      {"tied_head", c.tie_word_embeddings},
      {"eos_token_ids", checkpoint.eos_token_ids()},
      {"dialect", DialectName(checkpoint.dialect())},
      {"parameters", inventory.num_parameters},
      {"bytes", inventory.size_bytes},
      {"bytes_by_type", inventory.bytes_by_type},
      {"numerics", numerics},
      {"kv_cache", KvCacheFormatName(checkpoint.kv_cache())},
      {"kv_scales", kv_scales},
      {"why_not_w4a4", text_or_null(inventory.why_not_w4a4)},
      {"modules", kinds},
      {"tokenizer_size", companions.tokenizer_size ? Json(*companions.tokenizer_size) : Json()},
      {"chat_template", text_or_null(companions.chat_template)},
      {"chat_template_fault", text_or_null(companions.chat_template_fault)},
      {"reset", nullptr}};
  if (const auto& reset = companions.reset) {
    out["reset"] = {{"t_low", reset->t_low},
                    {"t_high", reset->t_high},
                    {"tau_0", reset->tau_0},
                    {"window", reset->window}};
  }
  return out;
}

// Three digits and a unit, enough to compare; small numbers as they are.
std::string Shortened(int64_t n, std::span<const std::string_view> units) {
  if (n < 10'000) return fmt::format("{}{}", n, units[0]);
  double value = static_cast<double>(n) / 1000;
  size_t unit = 1;
  for (; value >= 999.5; value /= 1000) ++unit;
  return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, units[unit]);
}

std::string Count(int64_t n) {
  static constexpr std::string_view kUnits[] = {"", "k", "M", "B", "T", "Q", "Q"};  // thousand to quadrillion
  return Shortened(n, kUnits);
}

std::string Size(int64_t size_bytes) {
  static constexpr std::string_view kUnits[] = {" B", "kB", "MB", "GB", "TB", "PB", "EB"};
  return Shortened(size_bytes, kUnits);
}

void Line(const char* name, const std::string& value) {
  fmt::print("{:<14}{}\n", name, value);
}

std::string RopeText(const RopeConfig& rope) {
  const std::string text = fmt::format("theta {}", rope.theta);
  if (rope.type == RopeType::kDefault) return text;
  return fmt::format("{}, {} with factor {}", text, RopeTypeName(rope.type), rope.factor);
}

std::string TypesText(const std::map<std::string, int64_t>& bytes_by_type) {
  std::vector<std::string> parts;
  for (const auto& [type, size_bytes] : bytes_by_type)
    parts.push_back(fmt::format("{} {}", type, Size(size_bytes)));
  return fmt::format("{}", fmt::join(parts, ", "));
}

// "nvfp4", or "bf16 2, nvfp4 26" where modules differ.
std::string FormatsText(const ModuleKind& kind) {
  if (kind.formats.size() == 1) return kind.formats.begin()->first;
  std::vector<std::string> parts;
  for (const auto& [format, count] : kind.formats) parts.push_back(fmt::format("{} {}", format, count));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string ScalesText(int64_t num_scales, int64_t num_modules) {
  if (num_scales == 0) return "-";
  return num_scales == num_modules ? "yes" : fmt::format("{} of {}", num_scales, num_modules);
}

// "fp8, key scales 0.012 to 0.5, value scales 1"
std::string KvCacheText(KvCacheFormat format, const std::vector<KvScales>& scales) {
  std::string text(KvCacheFormatName(format));
  if (format == KvCacheFormat::kBf16) return text;
  for (const auto& [name, of] : {std::pair("key", &KvScales::k), std::pair("value", &KvScales::v)}) {
    const auto [low, high] = std::ranges::minmax(scales, {}, of);
    text += fmt::format(", {} scales {}", name, low.*of);
    if (low.*of != high.*of) text += fmt::format(" to {}", high.*of);
  }
  return text;
}

void PrintKinds(const CheckpointInventory& inventory) {
  size_t width = 8;
  for (const ModuleKind& kind : inventory.kinds) width = std::max(width, FormatsText(kind).size() + 2);
  fmt::print("\n{:<14}{:>8}  {:<{}}{:<14}{:>11}{:>11}\n", "", "modules", "format", width, "input scales",
             "parameters", "bytes");
  for (const ModuleKind& kind : inventory.kinds) {
    fmt::print("{:<14}{:>8}  {:<{}}{:<14}{:>11}{:>11}\n", kind.name, kind.num_modules, FormatsText(kind),
               width, ScalesText(kind.num_input_scales, kind.num_modules), Count(kind.num_parameters),
               Size(kind.size_bytes));
  }
}

void Print(const Checkpoint& checkpoint, const CheckpointInventory& inventory, const Companions& companions) {
  const HfConfig& c = checkpoint.config();
  std::vector<std::string_view> numerics;
  for (const Numerics n : inventory.numerics) numerics.push_back(NumericsName(n));
  Line("architecture", fmt::format("{}, {} layers, hidden {}, ffn {}", Printable(c.architecture),
                                   c.num_layers, c.hidden_size, c.intermediate_size));
  Line("attention", fmt::format("{} query heads, {} key and value heads, each {} wide", c.num_heads,
                                c.num_kv_heads, c.head_dim));
  Line("rope", RopeText(c.rope));
  Line("context", fmt::format("{} tokens", c.max_positions));
  Line("vocabulary",
       fmt::format("{}{}", c.vocab_size, c.tie_word_embeddings ? ", head tied to the embedding" : ""));
  Line("end of text", fmt::format("{}", fmt::join(checkpoint.eos_token_ids(), ", ")));
  Line("quantised by", std::string(DialectName(checkpoint.dialect())));
  Line("parameters", Count(inventory.num_parameters));
  Line("bytes", fmt::format("{}: {}", Size(inventory.size_bytes), TypesText(inventory.bytes_by_type)));
  Line("runs in", numerics.empty() ? "nothing: the architectures are " + ArchitectureNames()
                                   : fmt::format("{}", fmt::join(numerics, ", ")));
  if (!inventory.why_not_w4a4.empty()) Line("", "not in w4a4: " + inventory.why_not_w4a4);
  Line("kv cache", KvCacheText(checkpoint.kv_cache(), inventory.kv_scales));
  Line("tokenizer",
       companions.tokenizer_size ? fmt::format("{} tokens", *companions.tokenizer_size) : "none");
  Line("chat template", !companions.chat_template.empty()         ? companions.chat_template
                        : !companions.chat_template_fault.empty() ? companions.chat_template_fault
                                                                  : "none");
  if (const auto& reset = companions.reset) {
    Line("reset.json", fmt::format("T {} to {}, tau_0 {} nats, window {}", reset->t_low, reset->t_high,
                                   reset->tau_0, reset->window));
  }
  PrintKinds(inventory);
}

void Inspect(const std::string& model, bool as_json) {
  const fs::path folder = model.empty() ? DefaultModelFolder() : model;
  Checkpoint checkpoint = Checkpoint::Open(folder);
  const CheckpointInventory inventory = TakeInventory(checkpoint);
  const Companions companions = ReadCompanions(folder);
  if (as_json) {
    WriteLine(AsJson(checkpoint, inventory, companions));
  } else {
    Print(checkpoint, inventory, companions);
  }
  FlushOutput();
}

}  // namespace

void AddInspectCommand(CLI::App& app) {
  CLI::App* inspect =
      app.add_subcommand("inspect", "What a checkpoint holds and how it can run; checks all of it");
  auto model = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  inspect->add_option("model", *model, "Folder with config.json and safetensors (default: abacus)");
  inspect->add_flag("--json", *as_json, "As one JSON object");
  inspect->callback([model, as_json] { Inspect(*model, *as_json); });
}

}  // namespace fourstep::cli
