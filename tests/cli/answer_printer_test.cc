// How an answer looks, from events made up here.
#include "cli/answer_printer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"

namespace fourstep::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Token {
  std::string text;
  bool is_reasoning = false;
  int step = 0;
  float entropy = 0.1f;
  float threshold = 0.5f;
};

std::vector<Event> Events(const std::vector<Token>& tokens) {
  std::vector<Event> events;
  for (const Token& token : tokens) {
    Event event;
    event.token = 7;
    event.position = static_cast<int32_t>(events.size());
    event.text = token.text;
    event.is_reasoning = token.is_reasoning;
    event.step = token.step;
    event.entropy = token.entropy;
    event.threshold = token.threshold;
    event.temperature = token.threshold > 0 && token.entropy < token.threshold ? 0.3f : 1.0f;
    event.mean_entropy = 0.25f;
    event.logprob = -1.5f;
    events.push_back(event);
  }
  return events;
}

std::string Printed(const std::vector<Token>& tokens, const AnswerPrinter::Style& style) {
  std::string out;
  AnswerPrinter printer(style, [&](std::string_view text) { out += text; });
  for (const Event& event : Events(tokens)) printer.Print(event);
  printer.Finish();
  return out;
}

const std::vector<Token> kThoughtful = {
    {"<think>", true},  {"\n", true},      {"Let", true},      {" me", true},         {".\n\n", true},
    {"Well", true, 1},  {".", true, 1},    {"\n", true, 1},    {"</think>", true, 1}, {"\n\n", false, 1},
    {"Four", false, 2}, {".\n", false, 2}, {"Yes.", false, 2}, {"\n\n", false, 2},    {"", false, 3}};

TEST(AnswerPrinter, ShowsTheAnswerAlone) {
  EXPECT_EQ(Printed(kThoughtful, {.show = Show::kAnswer}), "Four.\nYes.\n");
  EXPECT_EQ(Printed({{"<think>", true}, {"Hm", true}}, {.show = Show::kAnswer}), "");
  EXPECT_EQ(Printed({}, {.show = Show::kAnswer}), "");
}

TEST(AnswerPrinter, SetsTheThinkingApart) {
  EXPECT_EQ(Printed(kThoughtful, {.show = Show::kText}),
            "thinking:\nLet me.\n\nWell.\n\nanswer:\nFour.\nYes.\n");
  const std::string coloured = Printed(kThoughtful, {.show = Show::kText, .has_colours = true});
  EXPECT_THAT(coloured, HasSubstr("\x1b[2mLet\x1b[0m"));
  EXPECT_THAT(coloured, HasSubstr("\x1b[2mthinking:\x1b[0m\n"));
  EXPECT_THAT(coloured, HasSubstr("\n\nFour.\nYes.\n"));  // the answer has no colour
  // Without thinking there is nothing to set apart.
  EXPECT_EQ(Printed({{"\n\nHi"}, {" there"}}, {.show = Show::kText}), "Hi there\n");
}

// A template may open the thinking in the prompt: no tag comes.
TEST(AnswerPrinter, TakesThinkingWithoutAnOpeningTag) {
  EXPECT_EQ(
      Printed({{"\nHm", true}, {"\n", true}, {"</think>", true}, {"\n\n"}, {"Yes"}}, {.show = Show::kText}),
      "thinking:\nHm\n\nanswer:\nYes\n");
}

TEST(AnswerPrinter, EndsEveryStepWithItsFigures) {
  const std::vector<Token> tokens = {{"Try", false, 0, 0.9f},
                                     {" it", false, 0, 0.1f},
                                     {".\n\n", false, 0, 0.2f},
                                     {"So", false, 1, 0.6f, 0.55f},
                                     {" 4", false, 1, 0.8f, 0.75f}};
  EXPECT_EQ(
      Printed(tokens, {.show = Show::kSteps}),
      "‹ › stand around tokens that the policy holds for uncertain\n\n"
      "‹Try› it.\n"
      "── step 1: 3 tokens, mean entropy 0.40 (so far 0.25), threshold 0.50, 33 % at high temperature\n\n"
      "‹So› ‹4›\n"
      "── step 2: 2 tokens, mean entropy 0.70 (so far 0.25), threshold 0.55 to 0.75, 100 % at high "
      "temperature\n\n");
}

// The other policies have no threshold: nothing counts as uncertain.
TEST(AnswerPrinter, ShowsTemperaturesWhereThereIsNoThreshold) {
  const std::string out = Printed({{"One", false, 0, 0.9f, 0}}, {.show = Show::kSteps});
  EXPECT_THAT(out, testing::StartsWith(
                       "One\n── step 1: 1 token, mean entropy 0.90 (so far 0.25), temperature 1.00\n"));
  EXPECT_THAT(out, Not(HasSubstr("‹One›")));
}

TEST(AnswerPrinter, ColoursByTemperature) {
  const std::string out =
      Printed({{"cold"}, {" hot", false, 0, 0.9f}}, {.show = Show::kSteps, .has_colours = true});
  EXPECT_THAT(out, HasSubstr("\x1b[38;5;35mcold\x1b[0m"));   // 0.3
  EXPECT_THAT(out, HasSubstr(" \x1b[38;5;196mhot\x1b[0m"));  // 1.0
  EXPECT_THAT(out, HasSubstr("temperature 0"));              // the legend
  EXPECT_THAT(out, Not(HasSubstr("‹")));
}

// Colours must not depend on what odd temperatures a request may ask for.
TEST(AnswerPrinter, TakesEveryTemperature) {
  for (const float temperature : {-1.0f, 0.0f, 0.999f, 1.0f, 100.0f, INFINITY, NAN}) {
    std::string out;
    AnswerPrinter printer({.show = Show::kSteps, .has_colours = true}, [&](std::string_view t) { out += t; });
    Event event = Events({{"x"}})[0];
    event.temperature = temperature;
    printer.Print(event);
    printer.Finish();
    EXPECT_THAT(out, HasSubstr("mx\x1b[0m")) << temperature;
  }
}

TEST(AnswerPrinter, WritesALineAToken) {
  const std::string out =
      Printed({{"a\n\"", false, 0, 0.9f}, {" a very long token indeed", false, 1}}, {.show = Show::kAll});
  EXPECT_EQ(out,
            "token step  text              entropy  of step     mean threshold   temp  logprob\n"
            "    0    1  \"a\\n\"\"              0.900    0.000    0.250     0.500   1.00   -1.500\n"
            "    1    2  \" a very long t…    0.100    0.000    0.250     0.500   0.30   -1.500\n");
  std::vector<Event> events = Events({{"a"}});
  events[0].top_logprobs = {{7, -0.5f, "a"}, {8, -1.25f, "\n"}};
  std::string line;
  AnswerPrinter printer({.show = Show::kAll}, [&](std::string_view piece) { line += piece; });
  printer.Print(events[0]);
  EXPECT_THAT(line, HasSubstr("   -1.500  \"a\" -0.500  \"\\n\" -1.250\n"));
}

TEST(AnswerPrinter, LetsNoControlCharacterThroughToATerminal) {
  const std::vector<Token> tokens = {{"\x1b]0;title\x07"}, {"\r"}, {"\x7f\xc2\x9b"}, {"a\tb"}};
  for (const Show show : {Show::kAnswer, Show::kText, Show::kSteps, Show::kAll}) {
    const std::string out = Printed(tokens, {.show = show});
    for (const char c : out) EXPECT_TRUE(c == '\n' || c == '\t' || static_cast<unsigned char>(c) >= 0x20);
    EXPECT_THAT(out, Not(HasSubstr("\x7f")));
    EXPECT_THAT(out, Not(HasSubstr("\xc2\x9b")));
    EXPECT_THAT(out, HasSubstr("\\x1b]0;title\\x"));
  }
  // In a pipe the answer is what the model wrote.
  EXPECT_EQ(Printed(tokens, {.show = Show::kAnswer, .escapes_controls = false}),
            "\x1b]0;title\x07\r\x7f\xc2\x9b"
            "a\tb\n");
}

TEST(AnswerPrinter, RestoresColoursInTheMiddle) {
  for (const Show show : {Show::kText, Show::kSteps, Show::kAll}) {
    const std::string out = Printed({{"<think>", true}, {"Hm", true}}, {.show = show, .has_colours = true});
    EXPECT_TRUE(out.ends_with("\x1b[0m")) << out;
  }
}

// However tokens cut a text, the text that is shown is the same.
TEST(AnswerPrinter, DoesNotDependOnHowTokensCutTheText) {
  const std::string text = "One\n\n\ntwo  three\n four\n\n";
  PhiloxStream random(3);
  for (int i = 0; i < 200; ++i) {
    std::vector<Token> tokens;
    for (size_t begin = 0; begin < text.size();) {
      const size_t length = static_cast<size_t>(random.Between(0, 4));
      tokens.push_back({text.substr(begin, length)});
      begin += length;
    }
    ASSERT_EQ(Printed(tokens, {.show = Show::kAnswer}), "One\n\n\ntwo  three\n four\n");
  }
}

TEST(AnswerPrinter, NamesItsChoices) {
  EXPECT_EQ(ParseShow("steps"), Show::kSteps);
  EXPECT_THROW(ParseShow("step"), Error);
}

}  // namespace
}  // namespace fourstep::cli
