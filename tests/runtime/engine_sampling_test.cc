// What a request asks of the sampler beyond its policy, through the whole engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "checkpoint/tokenizer.h"
#include "engine_driver.h"
#include "grammar/byte_automaton.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

EngineOptions Tiny(const std::string& backend = "cpu") {
  return {.model = TinyModel("tiny-qwen3"), .backend = backend, .num_threads = 1};
}

bool Matches(const std::string& pattern, const std::string& text) {
  return BuildByteAutomaton(ParseRegex(pattern, "regex"), "regex").Matches(text);
}

std::string ContentOf(const std::vector<Event>& events) {
  std::string text;
  for (const Event& event : events) {
    if (!event.is_reasoning) text += event.text;
  }
  return text;
}

// Random weights write anything: under a pattern they write what it says.
TEST(EngineSampling, AnAnswerMatchesItsPattern) {
  for (const std::string backend : {"cpu", "reference"}) {
    Engine engine(Tiny(backend));
    for (const std::string pattern : {"\\d{1,5}", "(yes|no)[.!]?", "\\{\"a\": (\\d{1,3}|true)\\}",
                                      "[^a]{3}é?€", ".{0,6}", "a(b(c(d)?)?)?"}) {
      for (uint64_t seed = 0; seed < 6; ++seed) {
        Request request{.prompt = "one two", .sampling = {.regex = pattern, .seed = seed}};
        if (seed == 0) {
          request.sampling.policy = "greedy";
        } else {
          request.sampling.temperature = 1.5;
          request.sampling.top_p = 1;
        }
        const std::vector<Event> events = RunOne(engine, request);
        EXPECT_EQ(events.back().finish, FinishReason::kStop) << pattern;
        EXPECT_TRUE(Matches(pattern, TextOf(events))) << pattern << ": " << TextOf(events);
      }
    }
    const std::vector<std::string> choices = {"north", "south (of here)", "€*"};
    const std::vector<Event> events = RunOne(engine, {.prompt = "Where?", .sampling = {.choices = choices}});
    EXPECT_THAT(choices, testing::Contains(TextOf(events)));
  }
}

// What the model thinks is free; then the pattern holds. It may also answer at once.
TEST(EngineSampling, APatternHoldsAfterTheThinking) {
  const Tokenizer tokenizer = Tokenizer::Load(TinyModel("tiny-qwen3"));
  const int32_t open = *tokenizer.IdOf("<think>"), close = *tokenizer.IdOf("</think>");
  int num_stopped = 0;
  for (const std::string chat_template : {"qwen3", "qwen3-thinking"}) {
    EngineOptions options = Tiny();
    options.chat_template = chat_template;
    Engine engine(options);
    for (const bool must_think : {true, false}) {
      Request request{.messages = {{.role = "user", .content = "Is it so?"}},
                      .sampling = {.temperature = 1.5, .top_p = 1, .regex = "(yes|no)!"}};
      // The tags come seldom by chance.
      request.sampling.logit_bias = {{open, must_think ? 100.0 : -100.0}, {close, must_think ? 100.0 : 8.0}};
      for (uint64_t seed = 0; seed < 5; ++seed) {
        request.sampling.seed = seed;
        const std::vector<Event> events = RunOne(engine, request);
        if (events.back().finish == FinishReason::kLength) continue;  // thought to the end
        EXPECT_EQ(events.back().finish, FinishReason::kStop);
        ++num_stopped;
        const bool thinks = must_think || chat_template == "qwen3-thinking";
        EXPECT_EQ(events.front().is_reasoning, thinks);
        EXPECT_TRUE(Matches("(yes|no)!", ContentOf(events))) << ContentOf(events);
      }
    }
  }
  EXPECT_GT(num_stopped, 10);
}

TEST(EngineSampling, AbacusAnswersInAForm) {
  Engine engine({.model = FOURSTEP_SOURCE_DIR "/models/abacus"});
  std::vector<RequestId> ids;
  const std::string pattern = "\\s*The answer is \\\\boxed\\{\\d{1,6}\\}\\.";
  for (uint64_t seed = 0; seed < 4; ++seed) {
    ids.push_back(engine.Submit({.messages = {{.role = "user", .content = "What is 17*23?"}},
                                 .sampling = {.regex = pattern, .seed = seed}}));
  }
  const EventLog log = RunUntilIdle(engine);
  for (const RequestId id : ids) {
    const std::vector<Event>& events = log.Of(id);
    EXPECT_EQ(events.back().finish, FinishReason::kStop);
    EXPECT_TRUE(events.front().is_reasoning);
    EXPECT_TRUE(Matches(pattern, ContentOf(events))) << ContentOf(events);
  }
}

TEST(EngineSampling, TellsTopLogprobs) {
  Engine engine(Tiny());
  const Request request{.prompt = "one two",
                        .sampling = {.policy = "greedy", .top_logprobs = 5},
                        .max_tokens = 12,
                        .ignore_eos = true};
  const std::vector<Event> events = RunOne(engine, request);
  for (const Event& event : events) {
    ASSERT_EQ(event.top_logprobs.size(), 5u);
    EXPECT_EQ(event.top_logprobs[0].token, event.token);
    EXPECT_EQ(event.top_logprobs[0].logprob, event.logprob);
    EXPECT_TRUE(std::is_sorted(event.top_logprobs.rbegin(), event.top_logprobs.rend(),
                               [](const auto& a, const auto& b) { return a.logprob < b.logprob; }));
  }
  Request plain = request;
  plain.sampling.top_logprobs = 0;
  EXPECT_EQ(TokensOf(RunOne(engine, plain)), TokensOf(events));
}

TEST(EngineSampling, BansAndPenaltiesAreKept) {
  Engine engine(Tiny());
  Request request{
      .prompt = "one two", .sampling = {.policy = "greedy"}, .max_tokens = 40, .ignore_eos = true};
  const std::vector<int32_t> plain = TokensOf(RunOne(engine, request));
  request.sampling.logit_bias = {{plain[0], -100}, {plain[1], -100}};
  const std::vector<int32_t> banned = TokensOf(RunOne(engine, request));
  for (const int32_t token : {plain[0], plain[1]})
    EXPECT_EQ(std::count(banned.begin(), banned.end(), token), 0);
  request.sampling.logit_bias = {{7, 100}};
  EXPECT_EQ(TokensOf(RunOne(engine, request)), std::vector<int32_t>(40, 7));
  // With both, the bias is eaten up at two a token.
  request.sampling.logit_bias = {{7, 20}};
  request.sampling.frequency_penalty = 2;
  const std::vector<int32_t> penalised = TokensOf(RunOne(engine, request));
  EXPECT_EQ(penalised[0], 7);
  EXPECT_LT(std::count(penalised.begin(), penalised.end(), 7), 20);
  EXPECT_EQ(
      TokensOf(RunOne(
          engine,
          {.prompt = "one two", .sampling = {.policy = "greedy"}, .max_tokens = 40, .ignore_eos = true})),
      plain)
      << "nothing stays in the slot";
}

// The pattern wants what the bias bans: that answer fails, the other does not notice.
TEST(EngineSampling, AnAnswerThatMayNotGoOnFailsAlone) {
  const Tokenizer tokenizer = Tokenizer::Load(TinyModel("tiny-qwen3"));
  Engine engine(Tiny());
  Request request{.prompt = "one", .sampling = {.regex = "a"}, .max_tokens = 5, .ignore_eos = true};
  request.sampling.logit_bias = {{tokenizer.Encode("a")[0], -100}};
  const RequestId bad = engine.Submit(request);
  const RequestId good = engine.Submit({.prompt = "one", .max_tokens = 5, .ignore_eos = true});
  const EventLog log = RunUntilIdle(engine);
  EXPECT_EQ(log.Of(bad).size(), 1u);
  EXPECT_EQ(log.Of(bad)[0].finish, FinishReason::kError);
  EXPECT_THAT(log.Of(bad)[0].error, HasSubstr("no token may follow"));
  EXPECT_EQ(log.Of(good).size(), 5u);
}

TEST(EngineSampling, RefusesInOneLine) {
  Engine engine(Tiny());
  const std::pair<Sampling, const char*> cases[] = {
      {{.repetition_penalty = 0.0}, "sampling: repetition_penalty is 0"},
      {{.presence_penalty = 3}, "sampling: presence_penalty is 3"},
      {{.frequency_penalty = -2.1}, "sampling: frequency_penalty is -2.1"},
      {{.logit_bias = {{320, 1}}}, "logit_bias: token 320 is none of the model's, expected 0..319"},
      {{.logit_bias = {{-1, 1}}}, "logit_bias: token -1"},
      {{.logit_bias = {{3, 101}}}, "logit_bias: bias of token 3 is 101"},
      {{.logit_bias = {{3, NAN}}}, "logit_bias: bias of token 3 is nan"},
      {{.logit_bias = {{3, 1}, {4, 1}, {3, 2}}}, "logit_bias: has token 3 twice"},
      {{.logit_bias = std::vector<LogitBias>(1025)}, "logit_bias: has 1025 entries"},
      {{.top_logprobs = 21}, "sampling: top_logprobs is 21"},
      {{.regex = "(a"}, "regex: \"(\" is not closed"},
      {{.regex = "a", .choices = {"b"}}, "choices: stand beside a regex"},
      {{.choices = {"a", ""}}, "choices: one of them is empty"},
      {{.choices = {"\xff"}}, "choices: is not valid UTF-8"},
  };
  for (const auto& [sampling, message] : cases) {
    try {
      engine.Submit({.prompt = "hi", .sampling = sampling});
      ADD_FAILURE() << "not refused: " << message;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(message));
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    }
  }
  EXPECT_TRUE(engine.idle());
}

}  // namespace
}  // namespace fourstep
