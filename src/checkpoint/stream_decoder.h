// Decodes tokens one by one as they are generated and never hands out a part of a character.
#pragma once

#include <cstdint>
#include <string>

#include "checkpoint/tokenizer.h"

namespace fourstep {

// What Append and Finish returned, joined, is Tokenizer::Decode of all the ids.
class StreamDecoder {
 public:
  // `tokenizer` must outlive the decoder.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = false)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}

  // The text (valid UTF-8, may be empty) that `id` completes.
  std::string Append(int32_t id);

  // What is still held back: a character that was never completed, as U+FFFD. The decoder is as new
  // afterwards.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  std::string held_;  // at most 3 bytes between calls
};

}  // namespace fourstep
