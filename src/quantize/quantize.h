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
  bool weights_only = false;  // no input scales: the result runs as W4A16
  // Of lm_head: kFp8, kNvFp4, or kBf16, which leaves it as it is. A head that is tied to the embedding
  // becomes one of its own where it is quantised.
  WeightFormat head = WeightFormat::kBf16;
  std::string calibration_text;       // empty: the built-in one; ignored with weights_only
  int64_t calibration_tokens = 4096;  // at most, 1..1,048,576
  int64_t shard_bytes = int64_t{4} << 30;
  int32_t num_threads = 0;  // 0: as many as the process may use cores
};

// What quantisation did to one linear. Errors are relative: ||Q(W) - W|| / ||W||, Frobenius.
struct LinearReport {
  std::string module;
  WeightFormat format = WeightFormat::kNvFp4;
  int64_t n = 0, k = 0;
  double weight_error = 0;
  float input_amax = 0;  // max |input| over the calibration text; 0 with weights_only
};

struct QuantizeReport {
  std::vector<LinearReport> linears;  // layer by layer: q, k, v, o, gate, up, down; lm_head where quantised
  double weight_error = 0;            // over all quantised weights together
  int64_t source_bytes = 0, result_bytes = 0;  // of tensors
  int64_t calibration_tokens = 0;              // that were read
  // Files of the source that the result does not have: reset.json (its thresholds are entropies of the dense
  // model), weights in other formats.
  std::vector<std::string> left_out_files;
};

std::vector<std::string> QuantizeMethods();

// Writes `destination`, which must not exist; it appears when it is complete. Embeddings, norms and biases
// are copied byte for byte, as are the files beside the weights. q/k/v and gate/up share their weight and
// input scales. `progress` (may be empty) is called with (done, total, module) and may throw to stop. Throws
// Error: an option out of range; a source that has 4 bits already, is incomplete or holds a NaN or an
// infinity; a linear whose inputs are no multiple of 16; a destination that exists. std::runtime_error where
// the destination cannot be written.
QuantizeReport Quantize(const std::filesystem::path& source, const std::filesystem::path& destination,
                        const QuantizeOptions& options,
                        const std::function<void(size_t, size_t, const std::string&)>& progress);

}  // namespace fourstep
