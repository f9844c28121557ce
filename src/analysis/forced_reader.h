// A model that reads a given text and says what it would have drawn at every place of it (teacher forcing).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fourstep/engine.h"
#include "model/model.h"

namespace fourstep {

class ForcedReader {
 public:
  static constexpr int32_t kChunkTokens = 64;  // rows of logits at a time

  // `options` as an Engine takes them; texts of up to `max_tokens`. Throws as Engine does.
  ForcedReader(const EngineOptions& options, int32_t max_tokens);

  // The next tokens of the text, kChunkTokens at most, of which the first has position `begin`; 0 starts a
  // new text. Gives the logits [tokens from first_row on, vocab_size], which are of the token after each.
  std::vector<float> Read(std::span<const int32_t> tokens, int32_t begin, int32_t first_row);

  int32_t vocab_size() const { return vocab_size_; }
  Numerics numerics() const { return model_->numerics(); }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Model> model_;
  std::vector<int32_t> block_table_;
  int32_t vocab_size_ = 0;
};

}  // namespace fourstep
