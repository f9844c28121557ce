// The engine on tiny checkpoints: what is loaded, what an answer looks like, what is refused.
#include "fourstep/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "checkpoint/tokenizer.h"
#include "engine_driver.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

const Request kQuestion{.messages = {{.role = "user", .content = "What is 17*23?"}}, .max_tokens = 40};

TEST(Engine, SaysWhatItLoaded) {
  const Engine engine({.model = TinyModel("tiny-qwen3-nvfp4"), .num_threads = 1});
  const EngineInfo& info = engine.info();
  EXPECT_EQ(info.architecture, "Qwen3ForCausalLM");
  EXPECT_THAT(info.backend, HasSubstr("1 thread"));
  EXPECT_EQ(info.numerics, "w4a4");
  EXPECT_EQ(info.kv_cache, "bf16");
  EXPECT_EQ(info.chat_template, "qwen3");
  EXPECT_EQ(info.vocab_size, 320);
  EXPECT_EQ(info.max_context_tokens, 512);
  EXPECT_THAT(info.default_policy, HasSubstr("fixed (T "));
  EXPECT_GT(info.num_parameters, 0);
  EXPECT_GT(info.weight_bytes_per_token, 0);
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(engine.load().cache_tokens, 8 * 512);
  EXPECT_EQ(
      Engine({.model = TinyModel("tiny-qwen3-nvfp4"), .numerics = "w4a16", .num_threads = 1}).info().numerics,
      "w4a16");
  EXPECT_EQ(Engine({.model = TinyModel("tiny-qwen3"), .num_threads = 1}).info().numerics, "bf16");
  EXPECT_EQ(Engine({.model = TinyModel("tiny-qwen3"), .kv_cache = "fp8", .num_threads = 1}).info().kv_cache,
            "fp8");
  EXPECT_EQ(Engine({.model = TinyModel("tiny-qwen3"), .num_threads = 1, .cache_tokens = 100})
                .info()
                .max_context_tokens,
            112);
}

TEST(Engine, AnswersInText) {
  for (const std::string backend : {"cpu", "reference"}) {
    Engine engine({.model = TinyModel("tiny-qwen3"), .backend = backend, .num_threads = 1});
    const std::vector<Event> events = RunOne(engine, kQuestion);
    const std::vector<int32_t> tokens = TokensOf(events);
    EXPECT_EQ(events.back().prompt_tokens, static_cast<int32_t>(engine.PromptTokens(kQuestion).size()));
    EXPECT_EQ(TextOf(events), Tokenizer::Load(TinyModel("tiny-qwen3")).Decode(tokens, /*skip_special=*/true));
    for (const Event& event : events) {
      EXPECT_EQ(ReplaceInvalidUtf8(event.text), event.text);
      EXPECT_GE(event.entropy, 0);
      EXPECT_LE(event.entropy, std::log(320.0f) + 1e-5f);
      EXPECT_LE(event.logprob, 0);
    }
    EXPECT_TRUE(engine.Step().empty()) << "nothing to do";
  }
}

TEST(Engine, TheSeedDecides) {
  Engine engine({.model = TinyModel("tiny-qwen3"), .num_threads = 1});
  Request request = kQuestion;
  request.sampling.temperature = 1.0;
  const std::vector<int32_t> first = TokensOf(RunOne(engine, request));
  EXPECT_EQ(TokensOf(RunOne(engine, request)), first);
  request.sampling.seed = 1;
  EXPECT_NE(TokensOf(RunOne(engine, request)), first);
}

TEST(Engine, EndsWhereTokensOrContextEnd) {
  Engine engine({.model = TinyModel("tiny-qwen3"), .num_threads = 1, .cache_tokens = 96});
  Request request{.prompt = "one two three", .ignore_eos = true};
  const auto num_prompt = static_cast<int32_t>(engine.PromptTokens(request).size());
  for (const int32_t max_tokens : {1, 7, 0, 5000}) {
    request.max_tokens = max_tokens;
    const std::vector<Event> events = RunOne(engine, request);
    const int32_t expected = max_tokens >= 1 && max_tokens <= 7 ? max_tokens : 96 - num_prompt;
    EXPECT_EQ(static_cast<int32_t>(TokensOf(events).size()), expected);
    EXPECT_EQ(events.back().finish, FinishReason::kLength);
  }
  // One token fits behind the longest prompt.
  request.max_tokens = 0;
  request.prompt.clear();
  while (engine.PromptTokens({.prompt = request.prompt + "1"}).size() < 96) request.prompt += "1";
  EXPECT_EQ(TokensOf(RunOne(engine, request)).size(), 1u);
  request.prompt += "1";
  EXPECT_THROW(engine.Submit(request), Error);
  EXPECT_TRUE(engine.idle());
}

TEST(Engine, ACancelledRequestEndsWithoutAToken) {
  Engine engine({.model = TinyModel("tiny-qwen3"), .num_threads = 1, .max_sequences = 1});
  Request request{.prompt = "one two three", .max_tokens = 50, .ignore_eos = true};
  const RequestId running = engine.Submit(request), waiting = engine.Submit(request);
  EventLog log;
  for (int step = 0; step < 5; ++step) log.Add(engine.Step());
  EXPECT_EQ(engine.load().running, 1);
  EXPECT_EQ(engine.load().waiting, 1);
  EXPECT_GT(engine.load().cache_tokens_used, 0);
  engine.Cancel(waiting);
  engine.Cancel(running);
  engine.Cancel(running);
  engine.Cancel(12345);
  EXPECT_FALSE(engine.idle());
  log.Add(engine.Step());
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(log.Of(running).back().finish, FinishReason::kCancelled);
  EXPECT_EQ(log.Of(running).size(), 6u);
  EXPECT_EQ(log.Of(waiting).size(), 1u);
  engine.Cancel(running);
  EXPECT_TRUE(engine.Step().empty());
  const RequestId unstarted = engine.Submit(request);
  engine.Cancel(unstarted);
  log.Add(engine.Step());
  EXPECT_EQ(log.Of(unstarted).back().finish, FinishReason::kCancelled);
  EXPECT_EQ(engine.load().cache_tokens_used, 0);
}

// Each turn begins with what the last one computed. ChatML repeats answers as they were, so that they are
// found too, as far as their text has the same tokens.
TEST(Engine, ANextTurnReusesTheConversation) {
  Engine engine({.model = TinyModel("tiny-qwen2"), .numerics = "bf16", .num_threads = 1});
  Request request{.messages = {{.role = "user", .content = "Please add one and two, and then add three."}},
                  .max_tokens = 20};
  std::vector<Event> events = RunOne(engine, request);
  EXPECT_EQ(events.back().reused_tokens, 0);
  for (int turn = 0; turn < 3; ++turn) {
    const auto last_prompt = static_cast<int32_t>(engine.PromptTokens(request).size());
    request.messages.push_back({.role = "assistant", .content = TextOf(events)});
    request.messages.push_back({.role = "user", .content = "And then?"});
    Engine fresh({.model = TinyModel("tiny-qwen2"), .numerics = "bf16", .num_threads = 1});
    events = RunOne(engine, request);
    // All full blocks of the last prompt.
    EXPECT_GE(events.back().reused_tokens, last_prompt / 16 * 16);
    EXPECT_LT(events.back().reused_tokens, events.back().prompt_tokens);
    ExpectSameAnswer(RunOne(fresh, request), events);
  }
}

TEST(Engine, TellsThinkingByTheTemplate) {
  Engine engine({.model = TinyModel("tiny-qwen3"), .chat_template = "qwen3-thinking", .num_threads = 1});
  Request request = kQuestion;
  request.max_tokens = 1;
  request.ignore_eos = true;
  EXPECT_TRUE(RunOne(engine, request)[0].is_reasoning) << "the template opens it";
  request.messages.clear();
  request.prompt = "<|im_start|>assistant\n<think>\n";
  EXPECT_TRUE(RunOne(engine, request)[0].is_reasoning);
  request.prompt = "<|im_start|>user\nWhat is <think>?<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_FALSE(RunOne(engine, request)[0].is_reasoning);
}

TEST(Engine, RefusesARequestInOneLine) {
  Engine engine({.model = TinyModel("tiny-qwen3"), .num_threads = 1, .cache_tokens = 64});
  const std::vector<Message> user = {{.role = "user", .content = "hi"}};
  struct Case {
    Request request;
    const char* message;
  };
  const Case cases[] = {
      {{}, "messages: there are none"},
      {{.messages = user, .prompt = "hi"}, "prompt: stands beside messages"},
      {{.messages = {{.role = "oracle", .content = "hi"}}}, "messages[0]: role \"oracle\""},
      {{.messages = user, .max_tokens = -1}, "max_tokens: is -1"},
      {{.prompt = std::string(500, '1')}, "prompt: has 500 tokens, expected at most 63"},
      {{.messages = {{.role = "user", .content = std::string(500, '1')}}}, "messages: has 5"},
      {{.messages = user, .sampling = {.policy = "reset"}}, "t_low: is not known for this model"},
      {{.messages = user, .sampling = {.top_p = 2}}, "sampling: top_p is 2"},
  };
  for (const Case& c : cases) {
    try {
      engine.Submit(c.request);
      ADD_FAILURE() << "not refused: " << c.message;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(c.message));
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    }
  }
  EXPECT_TRUE(engine.idle());
}

TEST(Engine, RefusesOptionsInOneLine) {
  const std::string model = TinyModel("tiny-qwen3"), fp4 = TinyModel("tiny-llama-nvfp4a16");
  struct Case {
    EngineOptions options;
    const char* message;
  };
  const Case cases[] = {
      {{}, "model: is empty"},
      {{.model = "/nonexistent"}, "/nonexistent"},
      {{.model = model, .backend = "tpu"}, "backend: \"tpu\" is not one of"},
      {{.model = model, .cpu_path = "neon"}, "cpu path: 'neon'"},
      {{.model = model, .numerics = "fp8"}, "numerics: \"fp8\" is not one of w4a4, w4a16, bf16"},
      {{.model = model, .kv_cache = "int8"}, "kv_cache: \"int8\" is not one of bf16, fp8"},
      {{.model = model, .numerics = "w4a4"}, "w4a4"},
      {{.model = fp4, .numerics = "w4a4"}, "w4a4"},
      {{.model = model, .chat_template = "vicuna"}, "vicuna"},
      {{.model = model, .num_threads = -1}, "num_threads: is -1"},
      {{.model = model, .max_sequences = 0}, "max_sequences: is 0, expected 1.."},
      {{.model = model, .prefill_chunk_tokens = -1}, "prefill_chunk_tokens: is -1, expected 0.."},
      {{.model = model, .cache_tokens = -1}, "cache_tokens: is -1"},
      {{.model = model, .cache_tokens = int64_t{1} << 40}, "cache_tokens: is 1099511627776"},
  };
  for (const Case& c : cases) {
    try {
      const Engine engine(c.options);
      ADD_FAILURE() << "not refused: " << c.message;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(c.message));
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    }
  }
}

// A copy of a tiny checkpoint, to be changed.
class ChangedModelTest : public testing::Test {
 protected:
  std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) / "engine_test_model";

  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(TinyModel("tiny-llama"), folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
};

TEST_F(ChangedModelTest, WithoutATemplateOnlyPromptsAreServed) {
  const std::filesystem::path path = folder_ / "tokenizer_config.json";
  Json config = ParseJson(ReadFile(path, 1 << 20), "test");
  config.erase("chat_template");
  WriteFile(path, DumpJson(config));
  Engine engine({.model = folder_.string(), .num_threads = 1});
  EXPECT_EQ(engine.info().chat_template, "");
  try {
    engine.Submit(kQuestion);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("messages: "));
    EXPECT_THAT(error.what(), HasSubstr("no chat template"));
  }
  EXPECT_EQ(RunOne(engine, {.prompt = "hi", .max_tokens = 3, .ignore_eos = true}).size(), 3u);
  EXPECT_EQ(
      Engine({.model = folder_.string(), .chat_template = "chatml", .num_threads = 1}).info().chat_template,
      "chatml");
}

TEST_F(ChangedModelTest, ReadsItsResetFile) {
  WriteFile(
      folder_ / "reset.json",
      R"({"format": "fourstep-reset-1", "t_low": 0.2, "t_high": 0.9, "tau_0": 1.5, "window": 8, "percentile": 80})");
  Engine engine({.model = folder_.string(), .num_threads = 1});
  EXPECT_THAT(engine.info().default_policy, HasSubstr("reset (T_low 0.2, T_high 0.9, tau_0 1.5, window 8)"));
  for (const Event& event : RunOne(engine, kQuestion)) {
    EXPECT_TRUE(event.temperature == 0.2f || event.temperature == 0.9f) << event.temperature;
    EXPECT_EQ(event.temperature == 0.9f, event.entropy >= event.threshold);
  }
}

TEST_F(ChangedModelTest, AModelThatGivesNaNEndsWithAnError) {
  const std::filesystem::path path = folder_ / "model.safetensors";
  std::string bytes = ReadFile(path, 1 << 26);
  uint64_t header_bytes;
  std::memcpy(&header_bytes, bytes.data(), 8);
  const Json header = ParseJson(std::string_view(bytes).substr(8, header_bytes), "test");
  const Json& offsets = header.at("lm_head.weight").at("data_offsets");
  for (uint64_t i = offsets[0].get<uint64_t>(); i < offsets[1].get<uint64_t>(); ++i)
    bytes[8 + header_bytes + i] = '\xff';  // a NaN in BF16
  WriteFile(path, bytes);
  Engine engine({.model = folder_.string(), .num_threads = 1});
  const RequestId first = engine.Submit(kQuestion), second = engine.Submit(kQuestion);
  const EventLog log = RunUntilIdle(engine);
  for (const RequestId id : {first, second}) {
    EXPECT_EQ(log.Of(id).size(), 1u);
    EXPECT_EQ(log.Of(id).back().finish, FinishReason::kError);
    EXPECT_THAT(log.Of(id).back().error, HasSubstr("not finite"));
  }
}

}  // namespace
}  // namespace fourstep
