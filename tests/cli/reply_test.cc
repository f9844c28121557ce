#include "cli/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  reply.prefill_s = 2;
  reply.decode_s = 0.5;
  EXPECT_EQ(reply.PrefillTokensPerSecond(), 4);
  EXPECT_EQ(reply.DecodeTokensPerSecond(), 2);
  EXPECT_EQ(StatisticsText(reply),
            "2 tokens, 2.0 tokens/s; prompt 12 tokens (4 kept from before), 4 tokens/s; stopped");
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
