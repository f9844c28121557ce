// Patterns as automata over bytes, held against std::regex and against every character there is.
#include "grammar/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <regex>

#include "base/error.h"
#include "base/philox.h"
#include "base/utf8.h"
#include "grammar/byte_automaton.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

ByteAutomaton Build(const std::string& pattern) {
  return BuildByteAutomaton(ParseRegex(pattern, "regex"), "regex");
}
bool Matches(const std::string& pattern, const std::string& text) {
  return Build(pattern).Matches(text);
}

std::string RandomPattern(PhiloxStream& random, int depth) {
  const std::vector<std::string> atoms = {"a", "b", "[ab]", "[^a]", ".", "\\d", "[^\\d]", "\\W", "[a-c]"};
  std::string pattern;
  const int length = random.Between(0, 3);
  for (int i = 0; i < length; ++i) {
    const bool is_group = depth > 0 && random.Chance(0.4);
    pattern += is_group ? "(" + RandomPattern(random, depth - 1) + ")"
                        : atoms[random.Below(static_cast<uint32_t>(atoms.size()))];
    const std::vector<std::string> repeats = {"", "", "", "*", "+", "?", "{2}", "{1,2}", "{1,}", "{0,2}"};
    pattern += repeats[random.Below(static_cast<uint32_t>(repeats.size()))];
  }
  if (random.Chance(0.3)) pattern += "|" + RandomPattern(random, depth > 0 ? depth - 1 : 0);
  return pattern;
}

// Every text of up to four of these characters.
std::vector<std::string> ShortTexts() {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() == 4) break;
    for (const char c : {'a', 'b', '1', '_', '\n'}) texts.push_back(texts[i] + c);
  }
  return texts;
}

TEST(Regex, MatchesWhatTheStandardLibraryMatches) {
  PhiloxStream random(11);
  const std::vector<std::string> texts = ShortTexts();
  int num_too_large = 0;
  for (int round = 0; round < 300; ++round) {
    const std::string pattern = RandomPattern(random, 2);
    SCOPED_TRACE(pattern);
    ByteAutomaton automaton;
    try {
      automaton = Build(pattern);
    } catch (const Error&) {
      ++num_too_large;
      continue;
    }
    const std::regex oracle(pattern);
    for (const std::string& text : texts)
      ASSERT_EQ(automaton.Matches(text), std::regex_match(text, oracle)) << testing::PrintToString(text);
  }
  EXPECT_LE(num_too_large, 3);
}

// Of every byte string of up to four bytes that begins like one, those that match are characters of the
// class.
TEST(Regex, ClassesAreOfWholeCharacters) {
  struct Case {
    const char* pattern;
    std::function<bool(uint32_t)> is_in;
  };
  const Case cases[] = {
      {".", [](uint32_t c) { return c != '\n'; }},
      {"[^a-z]", [](uint32_t c) { return c < 'a' || c > 'z'; }},
      {"[\\u00e4\\u0800-\\uffff]", [](uint32_t c) { return c == 0xE4 || (c >= 0x800 && c <= 0xFFFF); }},
      {"[é-€😀]", [](uint32_t c) { return (c >= 0xE9 && c <= 0x20AC) || c == 0x1F600; }},
      {"[^\\x00-\\uffff]", [](uint32_t c) { return c > 0xFFFF; }},
      {"\\D", [](uint32_t c) { return c < '0' || c > '9'; }},
  };
  for (const auto& [pattern, is_in] : cases) {
    SCOPED_TRACE(pattern);
    const ByteAutomaton automaton = Build(pattern);
    for (uint32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 13) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      std::string text;
      AppendUtf8(text, c);
      ASSERT_EQ(automaton.Matches(text), is_in(c)) << c;
    }
    for (const char* invalid : {"\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xe4"})
      EXPECT_FALSE(automaton.Matches(invalid));
  }
}

TEST(Regex, TakesEscapesAndLiterals) {
  EXPECT_TRUE(Matches("\\{\"a\": \\[\\d+(, \\d+)*\\]\\}", "{\"a\": [1, 23, 4]}"));
  EXPECT_FALSE(Matches("\\{\"a\": \\[\\d+(, \\d+)*\\]\\}", "{\"a\": [1, ]}"));
  EXPECT_TRUE(Matches("a\\.b\\\\\\n\\t\\x41\\u20ac", "a.b\\\n\tA€"));
  EXPECT_TRUE(Matches("grün(e|er)?", "grüner"));
  EXPECT_TRUE(Matches("[\\]\\-x-]+", "]-x-"));
  EXPECT_TRUE(Matches("(?:ab){2,3}", "ababab"));
  EXPECT_TRUE(Matches("", ""));
  EXPECT_FALSE(Matches("", "a"));
  EXPECT_TRUE(Matches("}]", "}]"));
}

TEST(Regex, AChoiceMatchesItsTextsAlone) {
  const std::vector<std::string> texts = {"yes", "no", "a.b|c*", "", "(x)[y]{z}^$\\?+", "ja €"};
  const ByteAutomaton automaton = Build(ChoicePattern(texts));
  for (const std::string& text : texts) EXPECT_TRUE(automaton.Matches(text)) << text;
  for (const char* text : {"ye", "yesno", "axb|c", "a.b", " "}) EXPECT_FALSE(automaton.Matches(text)) << text;
}

TEST(ByteAutomaton, IsTheLeast) {
  EXPECT_EQ(Build("(a|b)*a(a|b){3}").num_states, 16);
  EXPECT_EQ(Build("(a|b|c)*").num_states, 1);
  EXPECT_EQ(Build("ab|cb|db").num_states, 3);
  EXPECT_EQ(Build("a{100}").num_states, 101);
  EXPECT_EQ(Build("(a?){5}b*").num_states, 6);
}

TEST(Regex, RefusesInOneLine) {
  const std::pair<std::string, const char*> cases[] = {
      {"(a", "\"(\" is not closed"},
      {"a)", "\")\" without \"(\""},
      {"[a", "\"[\" is not closed"},
      {"[a-", "\"[\" is not closed"},
      {"[", "\"[\" is not closed"},
      {"[]a]", "a class is empty"},
      {"[b-a]", "has no order"},
      {"[\\d-x]", "has no order"},
      {"[a[b]", "in a class needs a"},
      {"[^\\s\\S]", "matches nothing"},
      {"*a", "nothing stands before"},
      {"a|+", "nothing stands before"},
      {"a**", "a repeat of a repeat"},
      {"a+?", "a repeat of a repeat"},
      {"a{2", "a repeat is not"},
      {"a{x}", "expected a count"},
      {"a{-1}", "expected a count"},
      {"a{1001}", "expected a count"},
      {"a{3,2}", "ends below"},
      {"^a", "no anchors"},
      {"a$", "no anchors"},
      {"(?=a)", "there is (?: only"},
      {"a\\", "a \\ at the end"},
      {"\\q", "\\q means nothing"},
      {"\\1", "\\1 means nothing"},
      {"\\b", "\\b means nothing"},
      {"\\x4", "hexadecimal"},
      {"\\u12g4", "hexadecimal"},
      {"\\ud800", "surrogate"},
      {"\xff", "not valid UTF-8"},
      {std::string(70'000, 'a'), "has 70000 bytes"},
      {std::string(1000, '(') + std::string(1000, ')'), "too deep"},
  };
  for (const auto& [pattern, message] : cases) {
    try {
      (void)ParseRegex(pattern, "regex");
      ADD_FAILURE() << "not refused: " << pattern;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(message));
      EXPECT_THAT(error.what(), testing::StartsWith("regex: "));
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    }
  }
}

TEST(ByteAutomaton, HostilePatternsFailSoon) {
  for (const std::string pattern :
       {"(a|b)*a(a|b){20}", "((a{1000}){1000}){1000}", "((){1000}){1000}", "(((.*){50}){50}){50}",
        "(.{0,1000}){1000}", "(.*a){30}.{30}(b|c)(.*a){900}", "((a?){1000}b?){60}"}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(Build(pattern), Error) << pattern;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << pattern;
  }
}

}  // namespace
}  // namespace fourstep
