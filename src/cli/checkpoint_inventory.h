// What a checkpoint holds, counted by kind of module, and in which numerics it can run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/numerics.h"
#include "checkpoint/checkpoint.h"

namespace fourstep::cli {

// Modules of one kind: all q projections, say.
struct ModuleKind {
  std::string name;  // "attention q"
  int64_t num_modules = 0;
  std::map<std::string, int64_t> formats;  // "nvfp4" -> modules
  int64_t num_input_scales = 0, num_pre_quant_scales = 0, num_biases = 0;
  int64_t num_parameters = 0;  // values of weights and biases; scales are not counted
  int64_t size_bytes = 0;      // of all its tensors, scales too
};

struct CheckpointInventory {
  std::vector<ModuleKind> kinds;  // in the order of the forward; none is empty
  int64_t num_parameters = 0, size_bytes = 0;
  std::map<std::string, int64_t> bytes_by_type;  // "U8" -> bytes
  std::vector<KvScales> kv_scales;               // of each layer
  std::vector<Numerics> numerics;  // in which it can run, the first by default; empty: architecture unknown
  std::string why_not_w4a4;        // one line; empty where it can, or has no 4-bit weights
};

// Reads every tensor's header and every scale. Throws Error where a tensor is missing, wrong or left over.
CheckpointInventory TakeInventory(Checkpoint& checkpoint);

}  // namespace fourstep::cli
