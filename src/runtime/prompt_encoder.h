// PromptEncoder: from a request to the tokens that the model sees.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/chat_template.h"
#include "checkpoint/tokenizer.h"
#include "fourstep/engine.h"

namespace fourstep {

// Immutable: const members may be called from several threads.
class PromptEncoder {
 public:
  struct Prompt {
    std::vector<int32_t> tokens;
    bool in_thinking = false;  // it ends inside the thinking part
  };

  // `chat_template`: a name, or empty for the checkpoint's own. A checkpoint without one, or with one that is
  // not known, can be used with plain prompts: only a conversation is refused then. Tokens from `vocab_size`
  // on are refused.
  PromptEncoder(const std::filesystem::path& folder, const std::string& chat_template, int32_t vocab_size);

  // Throws Error naming the field of the request.
  Prompt Encode(const Request& request) const;

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ChatTemplate* chat_template() const { return chat_template_ ? &*chat_template_ : nullptr; }

 private:
  std::string Render(const Request& request) const;

  Tokenizer tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  std::string why_no_template_;
  int32_t vocab_size_;
};

}  // namespace fourstep
