// `fourstep run` at a pseudo-terminal, on a tiny model with random weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "program.h"

namespace fourstep {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kModel = std::string(FOURSTEP_SOURCE_DIR) + "/tests/model/data/tiny-qwen3-nvfp4";
constexpr char kCtrlC[] = "\x03", kCtrlD[] = "\x04";

TEST(Chat, AnswersTurnAfterTurn) {
  AtTerminal chat({"run", kModel, "--threads", "1", "--max-tokens", "4"});
  ASSERT_TRUE(chat.WaitFor("w4a4 with a bf16 cache on cpu"));
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("hello\n");
  ASSERT_TRUE(chat.WaitFor("; prompt "));
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("and again\n");
  // The second turn finds the first in the cache.
  ASSERT_TRUE(chat.WaitFor(" kept from before)"));
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("  \n");
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("/help\n");
  ASSERT_TRUE(chat.WaitFor("/reset  forget"));
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("/reset\n");
  ASSERT_TRUE(chat.WaitFor("All forgotten."));
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("/quit\n");
  EXPECT_EQ(chat.Wait(), 0);
}

// The answer is longer than what a terminal takes before somebody reads (8 KiB on Linux), and the test reads
// only while it waits for a text: so the answer is under way when Ctrl-C comes, however fast the machine is.
TEST(Chat, CtrlCStopsTheAnswerThenLeaves) {
  AtTerminal chat({"run", kModel, "--threads", "1", "--show", "all"});
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("hello\n");
  ASSERT_TRUE(chat.WaitFor("logprob"));  // the heading: the first token has come
  chat.Type(kCtrlC);
  ASSERT_TRUE(chat.WaitFor("; stopped"));
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("hello\n");
  ASSERT_TRUE(chat.WaitFor("logprob"));
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type(kCtrlC);
  EXPECT_EQ(chat.Wait(), 130);
}

TEST(Chat, EndsWithItsInput) {
  AtTerminal chat({"run", kModel, "--threads", "1"});
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type(kCtrlD);
  EXPECT_EQ(chat.Wait(), 0);
}

TEST(Chat, GoesOnAfterWhatIsTooLong) {
  AtTerminal chat({"run", kModel, "--threads", "1", "--context", "64", "--max-tokens", "2"});
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type(std::string(600, 'x') + "\n");
  ASSERT_TRUE(chat.WaitFor("(/reset starts over)"));
  ASSERT_TRUE(chat.WaitFor("\n> "));
  chat.Type("hi\n");
  ASSERT_TRUE(chat.WaitFor("; prompt "));
  chat.Type(kCtrlD);
  EXPECT_EQ(chat.Wait(), 0);
}

TEST(Chat, RefusesWhatIsNotForConversations) {
  for (const char* flag : {"--json", "--raw"}) {
    AtTerminal chat({"run", kModel, "--threads", "1", flag});
    EXPECT_EQ(chat.Wait(), 2);
    EXPECT_THAT(chat.shown(), HasSubstr(std::string("fourstep: ") + flag));
  }
}

TEST(RunAtATerminal, HasColoursUnlessTheyAreNotWanted) {
  const std::vector<std::string> arguments = {"run",          kModel, "-p",     "hello",
                                              "--max-tokens", "8",    "--show", "steps"};
  AtTerminal coloured(arguments);
  EXPECT_EQ(coloured.Wait(), 0);
  EXPECT_THAT(coloured.shown(), HasSubstr("\x1b[38;5;"));
  EXPECT_THAT(coloured.shown(), HasSubstr("\x1b[2m── step 1: "));
  for (const char* setting : {"NO_COLOR=1", "TERM=dumb"}) {
    AtTerminal plain(arguments, {setting});
    EXPECT_EQ(plain.Wait(), 0);
    EXPECT_THAT(plain.shown(), Not(HasSubstr("\x1b[3")));
    EXPECT_THAT(plain.shown(), HasSubstr("\n── step 1: "));
  }
}

TEST(RunAtATerminal, CtrlCEndsWith130AndRestoresColours) {
  AtTerminal run({"run", kModel, "--threads", "1", "-p", "hello", "--show", "all"});
  ASSERT_TRUE(run.WaitFor("logprob"));
  run.Type(kCtrlC);
  const int status = run.Wait();
  EXPECT_EQ(status, 130) << run.shown();
  const std::string shown = run.shown();
  const size_t last_colour = shown.rfind("\x1b[38;5;"), last_reset = shown.rfind("\x1b[0m");
  EXPECT_TRUE(last_colour == shown.npos || last_colour < last_reset);
  EXPECT_THAT(shown, HasSubstr("; stopped"));
}

}  // namespace
}  // namespace fourstep
