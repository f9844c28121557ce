#include "cli/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace fourstep::cli {
namespace {

Event TokenEvent(const std::string& text, bool is_reasoning) {
  Event event;
  event.token = 1;
  event.position = 0;
  event.text = text;
  event.is_reasoning = is_reasoning;
  return event;
}

TEST(Reply, TellsTheThinkingFromTheAnswer) {
  Reply reply;
  for (const char* text : {"<think>", "\n", "Hm", ".\n\n", "Yes", "\n", "</think>"})
    reply.Add(TokenEvent(text, true));
  EXPECT_TRUE(reply.ends_in_thought());
  for (const char* text : {"\n\n", "Four", ".\n"}) reply.Add(TokenEvent(text, false));
  EXPECT_EQ(reply.reasoning(), "Hm.\n\nYes");
  EXPECT_EQ(reply.content(), "Four.");
  EXPECT_EQ(reply.response(), "<think>\nHm.\n\nYes\n</think>\n\nFour.\n");
  EXPECT_EQ(reply.num_tokens(), 10);
  EXPECT_FALSE(reply.ends_in_thought());
}

TEST(Reply, TakesThinkingThatIsCutOff) {
  Reply reply;
  reply.Add(TokenEvent("<think>", true));
  EXPECT_EQ(reply.reasoning(), "");
  reply.Add(TokenEvent("Hm", true));
  Event end;
  end.finish = FinishReason::kCancelled;
  end.prompt_tokens = 12;
  end.reused_tokens = 4;
  reply.Add(end);
  EXPECT_EQ(reply.reasoning(), "Hm");
  EXPECT_EQ(reply.content(), "");
  EXPECT_EQ(reply.num_tokens(), 2);
  EXPECT_TRUE(reply.ends_in_thought());
  EXPECT_EQ(reply.finish(), FinishReason::kCancelled);
  EXPECT_EQ(StatisticsText(reply), "2 tokens; prompt 12 tokens (4 kept from before); stopped");
}

TEST(Reply, MeasuresFromTheStart) {
  Reply reply;
  reply.Start();
  EXPECT_EQ(reply.PrefillTokensPerSecond(), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  reply.Add(TokenEvent("a", false));
  for (int i = 0; i < 4; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    reply.Add(TokenEvent("b", false));
  }
  Event end;
  end.finish = FinishReason::kStop;
  end.prompt_tokens = 12;
  reply.Add(end);
  // A sleep may last longer than asked for, never shorter.
  EXPECT_GT(reply.PrefillTokensPerSecond(), 0);
  EXPECT_LE(reply.PrefillTokensPerSecond(), 12 / 0.020);
  EXPECT_GT(reply.DecodeTokensPerSecond(), 0);
  EXPECT_LE(reply.DecodeTokensPerSecond(), 4 / 0.020);
}

TEST(Reply, WritesShortNumbersAsJson) {
  Event event = TokenEvent("a", false);
  event.entropy = 0.3f;
  event.logprob = -INFINITY;
  const std::string line = DumpJson(TokenJson(event));
  EXPECT_THAT(line, testing::HasSubstr("\"entropy\":0.3,"));
  EXPECT_THAT(line, testing::HasSubstr("\"logprob\":null"));
}

}  // namespace
}  // namespace fourstep::cli
