// The tiny random checkpoints in tests/model/data (tools/make_model_goldens.py): real folders of each
// architecture and dialect, with tokenizer and chat template, on which anything runs in milliseconds.
#pragma once

#include <filesystem>
#include <string>

namespace fourstep {

// vocab 320, of which the tokenizer has 305; 512 positions; hidden 64, 2 layers.
//
//   tiny-qwen3           BF16, tied head, head_dim 24, template qwen3
//   tiny-qwen2           BF16, biases, yarn (older spelling), template chatml
//   tiny-llama           BF16, rope llama3, template chatml
//   tiny-qwen3-nvfp4     ModelOpt, W4A4
//   tiny-qwen2-nvfp4     compressed-tensors, W4A4
//   tiny-llama-nvfp4     ModelOpt (hf_quant_config.json only), W4A4, pre_quant_scale, a 4-bit head
//   tiny-llama-nvfp4a16  compressed-tensors, no input scales, tied head, rope linear
inline std::filesystem::path TinyCheckpoint(const std::string& name) {
  return std::filesystem::path(FOURSTEP_SOURCE_DIR) / "tests/model/data" / name;
}

inline constexpr int kTinyVocab = 320, kTinyTokenizerSize = 305;
inline constexpr int kTinyEndOfText = 300, kTinyImEnd = 302;  // both end an answer

}  // namespace fourstep
