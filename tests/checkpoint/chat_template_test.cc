#include "checkpoint/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

const fs::path kData = fs::path(FOURSTEP_SOURCE_DIR) / "tests/checkpoint/data";

std::string Jinja(const std::string& name) {
  return ReadFile(kData / "templates" / (name + ".jinja"), 1 << 20);
}

std::vector<ChatMessage> ReadMessages(const Json& json) {
  std::vector<ChatMessage> messages;
  for (const Json& m : json) {
    messages.push_back({m["role"], m["content"], std::nullopt});
    if (m.contains("reasoning_content")) messages.back().reasoning_content = m["reasoning_content"];
  }
  return messages;
}

template <typename Function>
std::string FaultOf(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Lines of tools/make_chat_goldens.py: what transformers renders.
TEST(ChatTemplate, EqualsTransformers) {
  std::ifstream file(kData / "chat_goldens.jsonl");
  std::map<std::string, int> count;
  for (std::string line; std::getline(file, line);) {
    const Json golden = ParseJson(line, "goldens");
    const std::string name = golden["template"];
    const ChatTemplate chat_template = ChatTemplate::Recognise(Jinja(name), name);
    const ChatTemplateOptions options = {.add_generation_prompt = golden["add_generation_prompt"],
                                         .enable_thinking = golden.value("enable_thinking", true)};
    EXPECT_EQ(chat_template.Render(ReadMessages(golden["messages"]), options), golden["rendered"]) << line;
    ++count[name];
  }
  EXPECT_EQ(count.size(), 9u);
  for (const auto& [name, n] : count) EXPECT_GE(n, 40) << name;
}

TEST(ChatTemplate, IsRecognisedByWhatItWrites) {
  EXPECT_EQ(ChatTemplate::Recognise(Jinja("qwen3"), "t").name(), "qwen3");
  EXPECT_FALSE(ChatTemplate::Recognise(Jinja("qwen3"), "t").opens_thinking());
  EXPECT_EQ(ChatTemplate::Recognise(Jinja("qwen3-thinking"), "t").name(), "qwen3-thinking");
  EXPECT_TRUE(ChatTemplate::Recognise(Jinja("deepseek-r1"), "t").opens_thinking());
  EXPECT_FALSE(ChatTemplate::Recognise(Jinja("deepseek-r1-early"), "t").opens_thinking());
  EXPECT_EQ(ChatTemplate::Recognise(Jinja("chatml-qwen2"), "t").name(), "chatml");
  EXPECT_EQ(ChatTemplate::Recognise(Jinja("llama3"), "t").name(), "llama3");
  EXPECT_EQ(ChatTemplate::Recognise(Jinja("llama3.1"), "t").name(), "llama3.1");
}

TEST(ChatTemplate, RefusesOneThatWouldWriteSomethingElse) {
  const auto spoiled = [](const std::string& name, const std::string& from, const std::string& to) {
    std::string jinja = Jinja(name);
    const size_t at = jinja.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return jinja.replace(at, from.size(), to);
  };
  const std::string bad[] = {
      "",
      "{{",
      "{% {% {#",
      "hello",
      "{{ messages[0].content }}",
      "[INST] {{ messages[0].content }} [/INST]",
      "<|im_start|><|im_end|>",
      spoiled("qwen3", "{%- for", "text {%- for"),
      spoiled("qwen3", "{%- for", "<|vision_start|>{%- for"),
      spoiled("qwen3", "'<think>\\n\\n</think>\\n\\n'", "'<think></think>'"),
      spoiled("qwen3", ".strip('\\n')", ".strip()"),
      spoiled("chatml", "    {{- \"<|im_start|>\" +", "    {{ \"<|im_start|>\" +"),  // indentation is written
      spoiled("chatml", "message[\"content\"]", "message[\"content\"] | trim"),
      spoiled("chatml-qwen2", "helpful", "{{ adjective }}"),
      spoiled("deepseek-r1", "{{ bos_token }}", "{{ bos_token }}\n"),
      spoiled("deepseek-r1", "[-1]", "[0]"),
      spoiled("llama3", " | trim", ""),
      spoiled("llama3.1", "December 2023", "December 2024"),
      std::string(2 << 20, '{'),
  };
  for (const std::string& jinja : bad) {
    const std::string fault = FaultOf([&] { ChatTemplate::Recognise(jinja, "tokenizer_config.json"); });
    EXPECT_TRUE(fault.starts_with("tokenizer_config.json: ")) << fault << jinja.substr(0, 2000);
    EXPECT_EQ(fault.find('\n'), std::string::npos) << fault;
    if (jinja.size() < 10000) {
      EXPECT_NE(fault.find("--chat-template: qwen3, "), std::string::npos) << fault;
    }
  }
}

TEST(ChatTemplate, HasNames) {
  const std::string names = ChatTemplate::Names();
  for (size_t at = 0; at < names.size();) {
    const size_t end = std::min(names.find(", ", at), names.size());
    const std::string name = names.substr(at, end - at);
    EXPECT_EQ(ChatTemplate::ByName(name).name(), name);
    EXPECT_FALSE(ChatTemplate::ByName(name).end_of_turn().empty());
    at = end + 2;
  }
  EXPECT_EQ(FaultOf([] { ChatTemplate::ByName("alpaca"); }),
            "--chat-template: \"alpaca\" is none of " + names);
}

TEST(ChatTemplate, RefusesConversationsItCannotWrite) {
  const ChatTemplate qwen = ChatTemplate::ByName("qwen3"), r1 = ChatTemplate::ByName("deepseek-r1");
  const ChatMessage user{"user", "x", {}}, tool{"tool", "x", {}}, other{"developer", "x", {}};
  EXPECT_EQ(FaultOf([&] { qwen.Render({}); }), "messages: there are none");
  EXPECT_EQ(FaultOf([&] {
              qwen.Render({{user, other}});
            }),
            "messages[1]: role \"developer\", expected system, user or assistant, or tool");
  EXPECT_EQ(FaultOf([&] { r1.Render({{tool}}); }),
            "messages[0]: role \"tool\", expected system, user or assistant");
  EXPECT_EQ(FaultOf([&] { r1.Render({{user}}, {.enable_thinking = false}); }),
            "enable_thinking: the deepseek-r1 template always thinks, it cannot be false");
}

class ChatTemplateFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "chat_template_folder_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void WriteConfig(const Json& config) { WriteFile(folder_ / "tokenizer_config.json", config.dump()); }
  fs::path folder_;
};

TEST_F(ChatTemplateFolderTest, IsFoundWhereCheckpointsHaveIt) {
  EXPECT_NE(FaultOf([&] { ChatTemplate::Load(folder_); }).find("--chat-template"), std::string::npos);
  WriteConfig({{"model_max_length", 1}});
  EXPECT_NE(FaultOf([&] { ChatTemplate::Load(folder_); }).find("no chat template"), std::string::npos);
  WriteConfig({{"chat_template", Jinja("qwen3")}});
  EXPECT_EQ(ChatTemplate::Load(folder_).name(), "qwen3");
  WriteConfig({{"chat_template", {{{"name", "rag"}, {"template", "x"}}}}});
  EXPECT_NE(FaultOf([&] { ChatTemplate::Load(folder_); }).find("\"default\""), std::string::npos);
  WriteConfig({{"chat_template", {{{"name", "default"}, {"template", Jinja("chatml")}}}}});
  EXPECT_EQ(ChatTemplate::Load(folder_).name(), "chatml");
  WriteConfig({{"chat_template", 7}});
  EXPECT_NE(FaultOf([&] { ChatTemplate::Load(folder_); }), "");
  WriteFile(folder_ / "chat_template.jinja", Jinja("llama3"));  // the newer place wins
  EXPECT_EQ(ChatTemplate::Load(folder_).name(), "llama3");
}

TEST(ChatTemplate, WritesThePromptOfTheDefaultModel) {
  const ChatMessage user{"user", "What is 2 + 2?", {}};
  EXPECT_EQ(ChatTemplate::ByName("qwen3").Render({{user}}),
            "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
}  // namespace fourstep
