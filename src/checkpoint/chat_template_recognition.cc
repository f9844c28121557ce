// Which built-in format a checkpoint's Jinja template is. A template counts as known only where the parts
// that write the turns are those of the published one; a change that would write something else makes it
// unknown.

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "checkpoint/chat_template.h"

namespace fourstep {
namespace {

constexpr size_t kMaxConfigBytes = size_t{128} << 20;  // tokenizer_config.json lists all added tokens
constexpr size_t kMaxTemplateBytes = size_t{1} << 20;

bool HasAll(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::all_of(parts.begin(), parts.end(), [&](auto part) { return text.find(part) != text.npos; });
}
bool HasNone(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::all_of(parts.begin(), parts.end(), [&](auto part) { return text.find(part) == text.npos; });
}

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
    text.replace(at, from.size(), to);
}

// One spelling for what Jinja lets one write in several: no white space, single quotes, message.content for
// message['content'], and a line break within a string as \n.
std::string Squeeze(std::string_view jinja) {
  std::string out;
  bool in_string = false;
  for (const char c : jinja) {
    if (c == '\n' && in_string) out += "\\n";
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
    const char plain = c == '"' ? '\'' : c;
    if (plain == '\'') in_string = !in_string;
    out += plain;
  }
  for (const char* field : {"role", "content", "reasoning_content"}) {
    ReplaceAll(out, fmt::format("message['{}']", field), fmt::format("message.{}", field));
    ReplaceAll(out, fmt::format("messages[0]['{}']", field), fmt::format("messages[0].{}", field));
  }
  return out;
}

// Whether every <|...|> in the template is one of `known`: others belong to a format with more to it.
bool HasOnlyControls(std::string_view text, std::initializer_list<std::string_view> known) {
  for (size_t at = 0; (at = text.find("<|", at)) != text.npos; at += 2) {
    const std::string_view rest = text.substr(at);
    if (std::none_of(known.begin(), known.end(), [&](auto name) { return rest.starts_with(name); }))
      return false;
  }
  return true;
}

// Whether a template writes text outside its tags: line breaks and indentation between them count unless
// Jinja drops them (with trim_blocks and lstrip_blocks, as transformers runs it). The published templates
// write nothing there.
bool WritesLayout(std::string_view jinja) {
  if (jinja.ends_with('\n')) jinja.remove_suffix(1);
  bool after_block = false, trimmed = false;  // what the tag before said about the text that follows it
  while (true) {
    const size_t open = std::min({jinja.find("{%"), jinja.find("{{"), jinja.find("{#"), jinja.size()});
    std::string_view text = jinja.substr(0, open);
    jinja.remove_prefix(open);
    const bool is_block = jinja.substr(0, 2) != "{{";
    if (after_block && text.starts_with('\n')) text.remove_prefix(1);
    if (is_block && !jinja.empty()) {  // indentation of a block that begins its line
      const size_t line = text.rfind('\n') + 1;
      if (text.find_first_not_of(" \t", line) == text.npos && (line > 0 || after_block))
        text = text.substr(0, line);
    }
    const bool trims = !jinja.empty() && jinja.substr(2, 1) == "-";
    if (!(trims || trimmed) ? !text.empty() : text.find_first_not_of(" \t\r\n") != text.npos) return true;
    if (jinja.empty()) return false;
    const char* closing = jinja[1] == '%' ? "%}" : jinja[1] == '#' ? "#}" : "}}";
    const size_t close = jinja.find(closing, 2);
    if (close == jinja.npos) return true;
    trimmed = jinja[close - 1] == '-';
    after_block = is_block;
    jinja.remove_prefix(close + 2);
  }
}

// The system text that a ChatML template writes of itself, where its text has it whole. None: it has several.
std::optional<std::string> DefaultSystem(std::string_view jinja) {
  constexpr std::string_view kHead = "<|im_start|>system", kEnd = "<|im_end|>";
  std::string found;
  for (size_t at = 0; (at = jinja.find(kHead, at)) != jinja.npos;) {
    at += kHead.size();
    std::string_view text = jinja.substr(at, jinja.find(kEnd, at) - at);
    if (text.starts_with("\\n")) {
      text.remove_prefix(2);
    } else if (text.starts_with('\n')) {
      text.remove_prefix(1);
    } else {
      return std::nullopt;
    }
    if (text.find_first_of("'\"{}") != text.npos) continue;  // the text of a message follows
    std::string plain(text);
    ReplaceAll(plain, "\\n", "\n");
    if (plain.empty() || plain.find('\\') != plain.npos || (!found.empty() && found != plain))
      return std::nullopt;
    found = std::move(plain);
  }
  return found;
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::TryQwen(std::string_view jinja, std::string_view squeezed) {
  if (!HasOnlyControls(jinja, {"<|im_start|>", "<|im_end|>", "<|endoftext|>"})) return std::nullopt;
  // The assistant's turn with and without reasoning, and the rule which of them it is.
  if (!HasAll(squeezed,
              {"'<|im_start|>system\\n'+messages[0].content+'<|im_end|>\\n'", "ns.last_query_index",
               "message.reasoning_content", "'</think>'",
               "'\\n<think>\\n'+reasoning_content.strip('\\n')+'\\n</think>\\n\\n'+content.lstrip('\\n')",
               "loop.index0>ns.last_query_index", "ifloop.lastor(notloop.lastandreasoning_content)",
               ".rstrip('\\n').split('<think>')[-1].lstrip('\\n')"}) ||
      !HasNone(squeezed, {"preserve_thinking", "<function=", "|trim"}) || DefaultSystem(jinja) != "") {
    return std::nullopt;
  }
  const bool opens_thinking = HasAll(squeezed, {"'<|im_start|>assistant\\n<think>\\n'"});
  const bool can_be_off = HasAll(
      squeezed, {"'<|im_start|>assistant\\n'}}", "enable_thinkingisfalse", "'<think>\\n\\n</think>\\n\\n'"});
  if (opens_thinking == can_be_off) return std::nullopt;
  return ChatTemplate(Format::kQwen3, opens_thinking);
}

std::optional<ChatTemplate> ChatTemplate::TryChatMl(std::string_view jinja, std::string_view squeezed) {
  const bool plain_turns = HasAll(squeezed, {"'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>'",
                                             "add_generation_prompt", "'<|im_start|>assistant\\n'"});
  if (!plain_turns || !HasOnlyControls(jinja, {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) ||
      !HasNone(squeezed, {"think", "bos_token", "setsystem_message", "setdefault_system", "|trim"})) {
    return std::nullopt;
  }
  std::optional<std::string> default_system = DefaultSystem(jinja);
  if (!default_system) return std::nullopt;
  return ChatTemplate(Format::kChatMl, false, std::move(*default_system));
}

std::optional<ChatTemplate> ChatTemplate::TryDeepSeekR1(std::string_view squeezed) {
  if (!HasAll(squeezed, {"'<｜User｜>'+message.content", "'<｜Assistant｜>'+content+'<｜end▁of▁sentence｜>'",
                         "content.split('</think>')[-1]", "setns.system_prompt=message.content%",
                         "{{bos_token}}{{ns.system_prompt}}"}) ||
      !HasNone(squeezed, {"thinking", "is_last_user", "is_first_sp"})) {
    return std::nullopt;
  }
  const bool opens_thinking = HasAll(squeezed, {"{{'<｜Assistant｜><think>\\n'}}"});
  if (!opens_thinking && !HasAll(squeezed, {"{{'<｜Assistant｜>'}}"})) return std::nullopt;
  return ChatTemplate(Format::kDeepSeekR1, opens_thinking);
}

std::optional<ChatTemplate> ChatTemplate::TryLlama3(std::string_view squeezed) {
  if (!HasAll(squeezed, {"'<|start_header_id|>'+message.role+'<|end_header_id|>\\n\\n'+message.content|trim+"
                         "'<|eot_id|>'",
                         "bos_token", "'<|start_header_id|>assistant<|end_header_id|>\\n\\n'"}) ||
      !HasNone(squeezed, {"think"})) {
    return std::nullopt;
  }
  if (HasNone(squeezed, {"CuttingKnowledgeDate", "TodayDate", "date_string", "system_message"})) {
    return ChatTemplate(Format::kLlama3, false);
  }
  if (!HasAll(squeezed, {"'CuttingKnowledgeDate:December2023\\n'", "'TodayDate:'+date_string+'\\n\\n'",
                         "setdate_string='26Jul2024'", "setsystem_message=messages[0].content|trim"})) {
    return std::nullopt;
  }
  return ChatTemplate(Format::kLlama31, false);
}

std::string ChatTemplate::Names() {
  return "qwen3, qwen3-thinking, deepseek-r1, chatml, llama3, llama3.1";
}

ChatTemplate ChatTemplate::ByName(std::string_view name) {
  const ChatTemplate all[] = {{Format::kQwen3, false},  {Format::kQwen3, true},   {Format::kDeepSeekR1, true},
                              {Format::kChatMl, false}, {Format::kLlama3, false}, {Format::kLlama31, false}};
  for (const ChatTemplate& chat_template : all) {
    if (chat_template.name() == name) return chat_template;
  }
  throw Errorf("--chat-template", "\"{}\" is none of {}", Printable(name), Names());
}

ChatTemplate ChatTemplate::Recognise(std::string_view jinja, const std::string& where) {
  if (jinja.size() > kMaxTemplateBytes) {
    throw Errorf(where, "a chat template of {} bytes, at most {}", jinja.size(), kMaxTemplateBytes);
  }
  const std::string squeezed = Squeeze(jinja);
  std::optional<ChatTemplate> found;
  if (!WritesLayout(jinja)) {
    found = TryQwen(jinja, squeezed);
    if (!found) found = TryChatMl(jinja, squeezed);
    if (!found) found = TryDeepSeekR1(squeezed);
    if (!found) found = TryLlama3(squeezed);
  }
  if (!found) {
    throw Errorf(where, "the chat template is none of those known; choose one with --chat-template: {}",
                 Names());
  }
  return *found;
}

ChatTemplate ChatTemplate::Load(const std::filesystem::path& folder) {
  const std::filesystem::path jinja = folder / "chat_template.jinja",
                              config = folder / "tokenizer_config.json";
  if (std::filesystem::exists(jinja)) return Recognise(ReadFile(jinja, kMaxTemplateBytes), jinja.string());
  const std::string where = config.string();
  if (!std::filesystem::exists(config)) {
    throw Errorf(folder.string(),
                 "no chat_template.jinja and no tokenizer_config.json; choose a template with "
                 "--chat-template: {}",
                 Names());
  }
  const Json root = ParseJson(ReadFile(config, kMaxConfigBytes), where);
  const JsonReader reader(root, where);
  if (!reader.Has("chat_template")) {
    throw Errorf(where, "no chat template; choose one with --chat-template: {}", Names());
  }
  const Json& value = reader.Get("chat_template");
  if (!value.is_array()) return Recognise(reader.String("chat_template"), where);
  for (const Json& named : value) {  // [{"name": "default", "template": "..."}, ...]
    const JsonReader entry(named, where + ": chat_template");
    if (entry.String("name") == "default") return Recognise(entry.String("template"), where);
  }
  throw Errorf(where, "no chat template named \"default\"; choose one with --chat-template: {}", Names());
}

}  // namespace fourstep
