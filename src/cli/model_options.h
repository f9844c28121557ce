// The flags that say which model runs, and how. One definition for every command that runs a model.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "fourstep/engine.h"

namespace fourstep::cli {

struct ModelOptions {
  EngineOptions engine;
  int32_t context_tokens = 0;  // of one conversation; 0: the engine's default

  // For `max_sequences` conversations at a time. Throws Error where the model is no folder, or none is named
  // and the default model is absent.
  EngineOptions Resolve(int32_t max_sequences) const;
};

// --backend, --cpu-path and --threads. `engine` must live as long as `command`.
void AddBackendOptions(CLI::App& command, EngineOptions& engine, const std::string& group);

// --kv-cache.
CLI::Option* AddKvCacheOption(CLI::App& command, std::string& kv_cache, const std::string& default_text);

// Those and all others. `options` must live as long as `command`.
void AddModelOptions(CLI::App& command, ModelOptions& options);

}  // namespace fourstep::cli
