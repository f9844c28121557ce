// Post-training quantisation: a BF16, FP16 or FP32 checkpoint becomes an NVFP4 one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace fourstep {

struct QuantizeOptions {
  std::string method = "rtn";  // QuantizeMethods() lists them
  Dialect dialect = Dialect::kModelOpt;
  bool weights_only = false;          // no input scales: the result runs as W4A16
  std::string calibration_text;       // empty: the built-in one; ignored with weights_only
  int32_t calibration_tokens = 4096;  // at most
  int64_t shard_bytes = int64_t{4} << 30;
  int32_t num_threads = 0;
};

// What quantisation did to one linear. Errors are relative: ||Q(W) - W|| / ||W||, Frobenius.
struct LinearReport {
  std::string module;
  int64_t n = 0, k = 0;
  double weight_error = 0;
  float input_amax = 0;  // 0 with weights_only
};

struct QuantizeReport {
  std::vector<LinearReport> linears;
  double weight_error = 0;                     // over all quantised weights together
  int64_t source_bytes = 0, result_bytes = 0;  // of tensors
};

std::vector<std::string> QuantizeMethods();

// Writes `destination`, which must not exist; it appears when it is complete. lm_head, embeddings and norms
// keep their type. q/k/v and gate/up share their weight and input scales. `progress` (may be empty) is called
// with (done, total, module). Throws Error.
QuantizeReport Quantize(const std::filesystem::path& source, const std::filesystem::path& destination,
                        const QuantizeOptions& options,
                        const std::function<void(size_t, size_t, const std::string&)>& progress);

}  // namespace fourstep
