#include "runtime/prompt_encoder.h"

#include <string_view>

#include "base/error.h"

namespace fourstep {

PromptEncoder::PromptEncoder(const std::filesystem::path& folder, const std::string& chat_template,
                             int32_t vocab_size)
    : tokenizer_(Tokenizer::Load(folder)), vocab_size_(vocab_size) {
  if (!chat_template.empty()) {
    chat_template_ = ChatTemplate::ByName(chat_template);
    return;
  }
  try {
    chat_template_ = ChatTemplate::Load(folder);
  } catch (const Error& error) {
    why_no_template_ = error.what();
  }
}

std::string PromptEncoder::Render(const Request& request) const {
  if (request.messages.empty() && request.prompt.empty())
    throw Error("messages", "there are none, and no prompt: expected one or the other");
  if (request.messages.empty()) return request.prompt;
  if (!request.prompt.empty()) throw Error("prompt", "stands beside messages: expected one or the other");
  if (!chat_template_) throw Error("messages", why_no_template_);
  std::vector<ChatMessage> messages;
  for (const Message& message : request.messages)
    messages.push_back({message.role, message.content, message.reasoning});
  return chat_template_->Render(messages, {.enable_thinking = request.enable_thinking});
}

PromptEncoder::Prompt PromptEncoder::Encode(const Request& request) const {
  const std::string text = Render(request);
  Prompt prompt{.tokens = tokenizer_.Encode(text)};
  const char* field = request.messages.empty() ? "prompt" : "messages";
  if (prompt.tokens.empty()) throw Error(field, "has no tokens");
  for (const int32_t token : prompt.tokens) {
    if (token >= vocab_size_)
      throw Errorf(field, "has the token {}, but the model has ids 0..{}", token, vocab_size_ - 1);
  }
  const size_t end = text.find_last_not_of(" \n");
  prompt.in_thinking = end != text.npos && std::string_view(text).substr(0, end + 1).ends_with("<think>");
  return prompt;
}

}  // namespace fourstep
