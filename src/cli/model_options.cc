#include "cli/model_options.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "checkpoint/chat_template.h"
#include "cli/default_model.h"
#include "formats/kv_cache_format.h"

namespace fourstep::cli {

void AddBackendOptions(CLI::App& command, EngineOptions& engine, const std::string& group) {
  const std::string backends =
      fmt::format("{}; default: {}", fmt::join(BackendNames(), " or "), engine.backend);
  command.add_option("--backend", engine.backend, backends)
      ->check(CLI::IsMember(BackendNames()))
      ->option_text("NAME")
      ->group(group);
  command
      .add_option("--cpu-path", engine.cpu_path,
                  "avx512-vnni, avx2 or portable; default: the best of this machine")
      ->check(CLI::IsMember({"avx512-vnni", "avx2", "portable"}))
      ->option_text("NAME")
      ->group(group);
  command.add_option("--threads", engine.num_threads, "Default: as many as there are cores")
      ->check(CLI::Range(1, 1024))
      ->option_text("N")
      ->group(group);
}

CLI::Option* AddKvCacheOption(CLI::App& command, std::string& kv_cache, const std::string& default_text) {
  const std::vector<std::string> names = KvCacheFormatNames();
  return command
      .add_option("--kv-cache", kv_cache,
                  fmt::format("Keys and values in {}; default: {}", fmt::join(names, " or "), default_text))
      ->check(CLI::IsMember(names))
      ->option_text("NAME");
}

void AddModelOptions(CLI::App& command, ModelOptions& options) {
  EngineOptions& engine = options.engine;
  const char* kGroup = "Model";
  command
      .add_option("model", engine.model,
                  "Folder of a Hugging Face checkpoint; left out: the default model, models/abacus")
      ->option_text("MODEL");
  command
      .add_option("--numerics", engine.numerics,
                  "w4a4, w4a16 or bf16; default: the fastest that the checkpoint holds")
      ->check(CLI::IsMember({"w4a4", "w4a16", "bf16"}))
      ->option_text("NAME")
      ->group(kGroup);
  AddKvCacheOption(command, engine.kv_cache, "what the checkpoint asks for, else bf16")->group(kGroup);
  AddBackendOptions(command, engine, kGroup);
  command
      .add_option("--chat-template", engine.chat_template,
                  "Instead of the checkpoint's own: " + ChatTemplate::Names())
      ->check([](const std::string& name) {
        try {
          (void)ChatTemplate::ByName(name);
          return std::string();
        } catch (const Error& error) {
          return std::string(error.what());
        }
      })
      ->option_text("NAME")
      ->group(kGroup);
  command.add_option("--context", options.context_tokens, "Tokens that prompt and answer may take together")
      ->check(CLI::Range(int32_t{16}, int32_t{1} << 24))
      ->option_text("N")
      ->group(kGroup);
}

EngineOptions ModelOptions::Resolve(int32_t max_sequences) const {
  EngineOptions resolved = engine;
  if (resolved.model.empty()) resolved.model = DefaultModelFolder();
  std::error_code ignored;
  if (!std::filesystem::is_directory(resolved.model, ignored)) {
    throw Error(Printable(resolved.model), "is no folder of a model (a prompt goes after -p)");
  }
  resolved.max_sequences = max_sequences;
  resolved.cache_tokens = int64_t{context_tokens} * max_sequences;
  return resolved;
}

}  // namespace fourstep::cli
