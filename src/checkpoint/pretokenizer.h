// Splits normalised text into the pieces that byte-pair merging works on, by the patterns that checkpoints
// name.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fourstep {

// The patterns known. Each stands for one exact text in tokenizer.json and has its own PCRE2 translation,
// because the dialects differ: what \s is, and how new the Unicode tables are.
enum class SplitPattern {
  kGpt2,   // ByteLevel with use_regex
  kQwen2,  // Qwen2, Qwen2.5, Qwen3, DeepSeek-R1-Distill-Qwen: digits one by one
  kLlama3  // Llama 3, DeepSeek-R1-Distill-Llama: digits by up to three
};

// None where the text is not exactly one of those known.
std::optional<SplitPattern> FindSplitPattern(std::string_view regex);

// Appends the pieces of `text` (valid UTF-8, below 2^31 bytes) in order; joined they are `text`.
void SplitByPattern(SplitPattern pattern, std::string_view text, std::vector<std::string_view>& pieces);

}  // namespace fourstep
