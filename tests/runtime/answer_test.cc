// From records to events: text in whole characters, the thinking part, and the ways in which an answer ends.
#include "runtime/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/chat_template.h"

namespace fourstep {
namespace {

class AnswerTest : public testing::Test {
 protected:
  Tokenizer tokenizer_ = Tokenizer::Load(FOURSTEP_SOURCE_DIR "/tests/checkpoint/data/tiny");
  ChatTemplate chat_ = ChatTemplate::ByName("qwen3");
  int32_t end_of_text_ = *tokenizer_.IdOf("<|endoftext|>"), end_of_turn_ = *tokenizer_.IdOf("<|im_end|>"),
          open_ = *tokenizer_.IdOf("<think>"), close_ = *tokenizer_.IdOf("</think>");
  ControlTokens control_ = ControlTokens::Find(tokenizer_, &chat_, std::vector<int32_t>{end_of_text_});

  Answer Begin(int32_t max_tokens, bool in_thinking = false, bool ignore_eos = false) {
    return Answer(7, tokenizer_, control_, in_thinking, {.max_tokens = max_tokens, .ignore_eos = ignore_eos});
  }
  static DrawResult Record(int32_t token, int32_t position) {
    return {TokenRecord{.slot = 2,
                        .token = token,
                        .output_position = position,
                        .step = 1,
                        .temperature = 0.5f,
                        .entropy = 1,
                        .step_entropy = 2,
                        .mean_entropy = 3,
                        .threshold = 4,
                        .logprob = -5}};
  }
};

TEST_F(AnswerTest, TextComesInWholeCharactersAndJoinsToWhatWasEncoded) {
  const std::string text = "Größe ≥ 3 😀\n\nthen 7·8";
  const std::vector<int32_t> tokens = tokenizer_.Encode(text);
  Answer answer = Begin(static_cast<int32_t>(tokens.size()));
  std::string joined;
  int num_held = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Event event = answer.Take(Record(tokens[i], static_cast<int32_t>(i)));
    joined += event.text;
    num_held += event.text.empty();
    EXPECT_EQ(event.finish, i + 1 == tokens.size() ? FinishReason::kLength : FinishReason::kNone);
    EXPECT_EQ(event.request, 7);
    EXPECT_EQ(event.token, tokens[i]);
    EXPECT_EQ(event.position, static_cast<int32_t>(i));
    EXPECT_FALSE(event.is_reasoning);
  }
  EXPECT_EQ(joined, text);
  EXPECT_GT(num_held, 0) << "no character took several tokens: the test shows nothing";
}

TEST_F(AnswerTest, CarriesWhatThePolicySaw) {
  const Event event = Begin(9).Take(Record(5, 0));
  EXPECT_EQ(event.step, 1);
  EXPECT_EQ(event.temperature, 0.5f);
  EXPECT_EQ(event.entropy, 1);
  EXPECT_EQ(event.step_entropy, 2);
  EXPECT_EQ(event.mean_entropy, 3);
  EXPECT_EQ(event.threshold, 4);
  EXPECT_EQ(event.logprob, -5);
}

TEST_F(AnswerTest, ACutCharacterBecomesAReplacementAtTheEnd) {
  const std::vector<int32_t> tokens = tokenizer_.Encode("😀");
  ASSERT_GT(tokens.size(), 1u);
  EXPECT_EQ(Begin(1).Take(Record(tokens[0], 0)).text, "\uFFFD");
  Answer stopped = Begin(9);
  EXPECT_EQ(stopped.Take(Record(tokens[0], 0)).text, "");
  const Event stop = stopped.Take(Record(end_of_turn_, 1));
  EXPECT_EQ(stop.text, "\uFFFD");
  EXPECT_EQ(stop.finish, FinishReason::kStop);
  Answer cancelled = Begin(9);
  cancelled.Take(Record(tokens[0], 0));
  EXPECT_EQ(cancelled.End(FinishReason::kCancelled).text, "\uFFFD");
}

TEST_F(AnswerTest, StopsAtEveryEndToken) {
  for (const int32_t stop : {end_of_text_, end_of_turn_}) {
    Answer answer = Begin(2);
    EXPECT_EQ(answer.Take(Record(5, 0)).finish, FinishReason::kNone);
    const Event event = answer.Take(Record(stop, 1));
    EXPECT_EQ(event.finish, FinishReason::kStop) << "also where it is the last that fits";
    EXPECT_EQ(event.token, stop);
    EXPECT_EQ(event.text, "");
    Answer endless = Begin(2, false, /*ignore_eos=*/true);
    const Event ignored = endless.Take(Record(stop, 0));
    EXPECT_EQ(ignored.finish, FinishReason::kNone);
    EXPECT_EQ(ignored.text, "") << "special tokens are never text";
    EXPECT_EQ(endless.Take(Record(5, 1)).finish, FinishReason::kLength);
  }
}

TEST_F(AnswerTest, TellsThinkingFromTheAnswer) {
  const auto reasoning_of = [&](bool in_thinking, const std::vector<int32_t>& tokens) {
    Answer answer = Begin(99, in_thinking);
    std::string marks;
    for (size_t i = 0; i < tokens.size(); ++i)
      marks += answer.Take(Record(tokens[i], static_cast<int32_t>(i))).is_reasoning ? 'r' : 'a';
    return marks;
  };
  EXPECT_EQ(reasoning_of(false, {open_, 5, 6, close_, 5, 6}), "rrrraa");
  EXPECT_EQ(reasoning_of(true, {5, 6, close_, 5, end_of_turn_}), "rrraa");
  EXPECT_EQ(reasoning_of(false, {5, 6, end_of_turn_}), "aaa");
  EXPECT_EQ(reasoning_of(true, {5, end_of_turn_}), "rr");
  EXPECT_TRUE(Begin(9, true).End(FinishReason::kCancelled).is_reasoning);

  // A tokenizer without the tags: nothing could end the thinking.
  const Tokenizer plain = Tokenizer::Load(FOURSTEP_SOURCE_DIR "/tests/checkpoint/data/tiny_llama3");
  const ControlTokens none = ControlTokens::Find(plain, nullptr, {});
  EXPECT_FALSE(none.think_open || none.think_close);
  EXPECT_TRUE(none.stop.empty());
  Answer answer(1, plain, none, true, {.max_tokens = 3});
  EXPECT_FALSE(answer.Take(Record(5, 0)).is_reasoning);
}

TEST_F(AnswerTest, AFailedDrawIsAnError) {
  Answer answer = Begin(9);
  const Event event = answer.Take(Record(-1, 0));
  EXPECT_EQ(event.finish, FinishReason::kError);
  EXPECT_EQ(event.token, -1);
  EXPECT_EQ(event.position, -1);
  EXPECT_THAT(event.error, testing::HasSubstr("not finite"));
}

}  // namespace
}  // namespace fourstep
