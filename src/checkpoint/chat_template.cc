#include "checkpoint/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/utf8.h"

namespace fourstep {
namespace {

constexpr std::string_view kThinkOpen = "<think>", kThinkClose = "</think>";
constexpr std::string_view kR1Bos = "<｜begin▁of▁sentence｜>", kR1Eos = "<｜end▁of▁sentence｜>";
constexpr std::string_view kR1User = "<｜User｜>", kR1Assistant = "<｜Assistant｜>";

std::string_view StripLeftNewlines(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
}
std::string_view StripRightNewlines(std::string_view text) {
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

std::string_view BeforeFirst(std::string_view text, std::string_view mark) {
  return text.substr(0, text.find(mark));
}
std::string_view AfterLast(std::string_view text, std::string_view mark) {
  const size_t at = text.rfind(mark);
  return at == text.npos ? text : text.substr(at + mark.size());
}

// What Python's str.strip() takes for white space.
bool IsPythonSpace(uint32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string_view PythonStrip(std::string_view text) {
  size_t begin = text.size(), end = 0;  // the range of what is no space
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = DecodeUtf8(text.substr(pos));
    if (!IsPythonSpace(c.value)) {
      begin = std::min(begin, pos);
      end = pos + c.length_bytes;
    }
    pos += c.length_bytes;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

void AppendChatMlTurn(std::string& out, std::string_view role, std::string_view content) {
  fmt::format_to(std::back_inserter(out), "<|im_start|>{}\n{}<|im_end|>\n", role, content);
}

// Tool results come back to Qwen3 as user turns; those are no new question.
bool IsToolResponse(std::string_view content) {
  return content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
}

size_t LastQuestion(std::span<const ChatMessage> messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    if (messages[i].role == "user" && !IsToolResponse(messages[i].content)) return i;
  }
  return messages.size() - 1;
}

// An assistant's turn: reasoning that led to an earlier answer is dropped.
void AppendQwen3Assistant(std::string& out, const ChatMessage& message, bool after_question, bool is_last) {
  std::string_view content = message.content, reasoning;
  if (message.reasoning_content) {
    reasoning = *message.reasoning_content;
  } else if (content.find(kThinkClose) != content.npos) {
    reasoning = StripRightNewlines(BeforeFirst(content, kThinkClose));
    reasoning = StripLeftNewlines(AfterLast(reasoning, kThinkOpen));
    content = StripLeftNewlines(AfterLast(content, kThinkClose));
  }
  out += "<|im_start|>assistant\n";
  if (after_question && (is_last || !reasoning.empty())) {
    fmt::format_to(std::back_inserter(out), "<think>\n{}\n</think>\n\n",
                   StripRightNewlines(StripLeftNewlines(reasoning)));
    content = StripLeftNewlines(content);
  }
  out += content;
  out += "<|im_end|>\n";
}

}  // namespace

void ChatTemplate::CheckMessages(std::span<const ChatMessage> messages,
                                 const ChatTemplateOptions& options) const {
  if (messages.empty()) throw Error("messages", "there are none");
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role == "system" || role == "user" || role == "assistant") continue;
    if (role == "tool" && format_ == Format::kQwen3) continue;
    throw Errorf(fmt::format("messages[{}]", i), "role \"{}\", expected system, user or assistant{}",
                 Printable(role), format_ == Format::kQwen3 ? ", or tool" : "");
  }
  if (!options.enable_thinking && opens_thinking_) {
    throw Errorf("enable_thinking", "the {} template always thinks, it cannot be false", name());
  }
}

std::string ChatTemplate::Render(std::span<const ChatMessage> messages,
                                 const ChatTemplateOptions& options) const {
  CheckMessages(messages, options);
  switch (format_) {
    case Format::kQwen3:
      return RenderQwen3(messages, options);
    case Format::kDeepSeekR1:
      return RenderDeepSeekR1(messages, options);
    case Format::kChatMl:
      return RenderChatMl(messages, options);
    case Format::kLlama3:
    case Format::kLlama31:
      return RenderLlama3(messages, options);
  }
  return {};
}

std::string ChatTemplate::RenderQwen3(std::span<const ChatMessage> messages,
                                      const ChatTemplateOptions& options) const {
  std::string out;
  const size_t last_question = LastQuestion(messages);
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (message.role == "assistant") {
      AppendQwen3Assistant(out, message, i > last_question, i + 1 == messages.size());
    } else if (message.role == "tool") {
      const bool first = i == 0 || messages[i - 1].role != "tool";
      const bool last = i + 1 == messages.size() || messages[i + 1].role != "tool";
      out += first ? "<|im_start|>user" : "";
      out += "\n<tool_response>\n" + message.content + "\n</tool_response>";
      out += last ? "<|im_end|>\n" : "";
    } else {
      AppendChatMlTurn(out, message.role, message.content);
    }
  }
  if (options.add_generation_prompt) {
    out += "<|im_start|>assistant\n";
    if (opens_thinking_) out += "<think>\n";
    if (!options.enable_thinking) out += "<think>\n\n</think>\n\n";
  }
  return out;
}

// One system text without a tag, the last one given, before all turns.
std::string ChatTemplate::RenderDeepSeekR1(std::span<const ChatMessage> messages,
                                           const ChatTemplateOptions& options) const {
  std::string_view system;
  for (const ChatMessage& message : messages) {
    if (message.role == "system") system = message.content;
  }
  std::string out(kR1Bos);
  out += system;
  for (const ChatMessage& message : messages) {
    if (message.role == "user") {
      out += kR1User;
      out += message.content;
    } else if (message.role == "assistant") {
      out += kR1Assistant;
      out += AfterLast(message.content, kThinkClose);
      out += kR1Eos;
    }
  }
  if (options.add_generation_prompt) {
    out += kR1Assistant;
    if (opens_thinking_) out += "<think>\n";
  }
  return out;
}

std::string ChatTemplate::RenderChatMl(std::span<const ChatMessage> messages,
                                       const ChatTemplateOptions& options) const {
  std::string out;
  if (!default_system_.empty() && messages[0].role != "system")
    AppendChatMlTurn(out, "system", default_system_);
  for (const ChatMessage& message : messages) AppendChatMlTurn(out, message.role, message.content);
  if (options.add_generation_prompt) out += "<|im_start|>assistant\n";
  return out;
}

std::string ChatTemplate::RenderLlama3(std::span<const ChatMessage> messages,
                                       const ChatTemplateOptions& options) const {
  std::string out = "<|begin_of_text|>";
  const auto append_turn = [&](std::string_view role, std::string_view content) {
    fmt::format_to(std::back_inserter(out), "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>", role,
                   content);
  };
  if (format_ == Format::kLlama31) {
    std::string_view system;
    if (messages[0].role == "system") {
      system = PythonStrip(messages[0].content);
      messages = messages.subspan(1);
    }
    append_turn("system", fmt::format("Cutting Knowledge Date: December 2023\nToday Date: {}\n\n{}",
                                      options.date, system));
  }
  for (const ChatMessage& message : messages) append_turn(message.role, PythonStrip(message.content));
  if (options.add_generation_prompt) out += "<|start_header_id|>assistant<|end_header_id|>\n\n";
  return out;
}

std::string_view ChatTemplate::name() const {
  switch (format_) {
    case Format::kQwen3:
      return opens_thinking_ ? "qwen3-thinking" : "qwen3";
    case Format::kDeepSeekR1:
      return "deepseek-r1";
    case Format::kChatMl:
      return "chatml";
    case Format::kLlama3:
      return "llama3";
    case Format::kLlama31:
      return "llama3.1";
  }
  return {};
}

std::string_view ChatTemplate::end_of_turn() const {
  switch (format_) {
    case Format::kQwen3:
    case Format::kChatMl:
      return "<|im_end|>";
    case Format::kDeepSeekR1:
      return kR1Eos;
    case Format::kLlama3:
    case Format::kLlama31:
      return "<|eot_id|>";
  }
  return {};
}

}  // namespace fourstep
