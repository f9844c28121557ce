// Chat templates: how a conversation is written for a model. The formats of the models this program runs are
// built in; a checkpoint's own template, which is a Jinja program, is only recognised, not run.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fourstep {

struct ChatMessage {
  std::string role;     // system, user, assistant; with Qwen3 also tool
  std::string content;  // an assistant's may have its reasoning in front: <think>...</think>
  std::optional<std::string>
      reasoning_content;  // an assistant's reasoning, where it comes apart from the content
};

struct ChatTemplateOptions {
  bool add_generation_prompt = true;  // end with the head of the assistant's turn
  bool enable_thinking = true;  // false: Qwen3 is told not to think; an error where thinking cannot be off
  std::string date =
      "26 Jul 2024";  // what Llama 3.1 to 3.3 are told: their own default, so that prompts repeat
};

class ChatTemplate {
 public:
  // The choices of --chat-template, separated by commas.
  static std::string Names();

  // One of Names(). Throws Error naming them.
  static ChatTemplate ByName(std::string_view name);

  // Recognises the text of a template by what it writes. Throws Error naming `where` and the choices.
  static ChatTemplate Recognise(std::string_view jinja, const std::string& where);

  // The template of a checkpoint: chat_template.jinja in `folder`, or else "chat_template" in
  // tokenizer_config.json.
  static ChatTemplate Load(const std::filesystem::path& folder);

  std::string_view name() const;

  // The token that ends an assistant's turn: <|im_end|>.
  std::string_view end_of_turn() const;

  // Whether the generation prompt opens the reasoning itself, so that a reply begins inside it, without
  // <think>.
  bool opens_thinking() const { return opens_thinking_; }

  // The text to encode (with special tokens parsed, none added: templates write their own bos). It equals
  // what transformers' apply_chat_template gives without tools. Throws Error for no messages, or a role that
  // the template does not have.
  std::string Render(std::span<const ChatMessage> messages, const ChatTemplateOptions& options = {}) const;

 private:
  enum class Format { kQwen3, kDeepSeekR1, kChatMl, kLlama3, kLlama31 };

  ChatTemplate(Format format, bool opens_thinking, std::string default_system = {})
      : format_(format), opens_thinking_(opens_thinking), default_system_(std::move(default_system)) {}

  static std::optional<ChatTemplate> TryQwen(std::string_view jinja, std::string_view squeezed);
  static std::optional<ChatTemplate> TryChatMl(std::string_view jinja, std::string_view squeezed);
  static std::optional<ChatTemplate> TryDeepSeekR1(std::string_view squeezed);
  static std::optional<ChatTemplate> TryLlama3(std::string_view squeezed);

  void CheckMessages(std::span<const ChatMessage> messages, const ChatTemplateOptions& options) const;
  std::string RenderQwen3(std::span<const ChatMessage> messages, const ChatTemplateOptions& options) const;
  std::string RenderDeepSeekR1(std::span<const ChatMessage> messages,
                               const ChatTemplateOptions& options) const;
  std::string RenderChatMl(std::span<const ChatMessage> messages, const ChatTemplateOptions& options) const;
  std::string RenderLlama3(std::span<const ChatMessage> messages, const ChatTemplateOptions& options) const;

  Format format_;
  bool opens_thinking_;
  std::string default_system_;  // ChatML: the system turn of a conversation that begins with none
};

}  // namespace fourstep
