// Chat templates: the text of a template is recognised or refused; every format writes any conversation.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "checkpoint/chat_template.h"

namespace {

// The input as messages: a byte chooses the role (and whether reasoning comes apart), up to the next zero
// byte is text.
std::vector<fourstep::ChatMessage> Messages(std::string_view input) {
  constexpr const char* kRoles[] = {"system", "user", "assistant", "tool", "other"};
  std::vector<fourstep::ChatMessage> messages;
  while (!input.empty()) {
    const auto kind = static_cast<unsigned char>(input[0]);
    input.remove_prefix(1);
    const std::string_view text = input.substr(0, input.find('\0'));
    input.remove_prefix(std::min(text.size() + 1, input.size()));
    messages.push_back({kRoles[kind % 5], std::string(text), std::nullopt});
    if (kind & 0x80) messages.back().reasoning_content = messages.front().content;
  }
  return messages;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const std::string_view input(reinterpret_cast<const char*>(data), size_bytes);
  try {
    fourstep::ChatTemplate::Recognise(input, "input").Render({{{"user", "x", {}}}});
  } catch (const fourstep::Error&) {
  }
  const std::vector<fourstep::ChatMessage> messages = Messages(input);
  for (const char* name : {"qwen3", "qwen3-thinking", "deepseek-r1", "chatml", "llama3", "llama3.1"}) {
    try {
      fourstep::ChatTemplate::ByName(name).Render(messages, {.enable_thinking = size_bytes % 2 == 0});
    } catch (const fourstep::Error&) {
    }
  }
  return 0;
}
