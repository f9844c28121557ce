// Automata over tokens, held against trying every token byte by byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/philox.h"
#include "grammar/token_automaton_builder.h"

namespace fourstep {
namespace {

struct Vocabulary {
  std::vector<std::string> tokens;
  GrammarTokens grammar;
  TokenTrie Trie() const { return TokenTrie(std::vector<std::string_view>(tokens.begin(), tokens.end())); }
};

ByteAutomaton Bytes(const std::string& pattern) {
  return BuildByteAutomaton(ParseRegex(pattern, "regex"), "regex");
}

int32_t NextOf(const TokenAutomaton& automaton, int32_t state, int32_t token) {
  return automaton.next_state[static_cast<size_t>(state * automaton.num_classes +
                                                  automaton.token_class[static_cast<size_t>(token)])];
}

int32_t Read(const ByteAutomaton& bytes, int32_t state, const std::string& text) {
  for (const char c : text) {
    if (state != ByteAutomaton::kDead) state = bytes.Next(state, static_cast<uint8_t>(c));
  }
  return state;
}

// The byte states from which tokens lead to a match.
std::set<int32_t> Finishable(const ByteAutomaton& bytes, const Vocabulary& vocabulary) {
  std::set<int32_t> good;
  for (int32_t s = 0; s < bytes.num_states; ++s) {
    if (bytes.accepts[static_cast<size_t>(s)]) good.insert(s);
  }
  for (size_t last = 0; last != good.size();) {
    last = good.size();
    for (int32_t s = 0; s < bytes.num_states; ++s) {
      for (const std::string& token : vocabulary.tokens) {
        if (!token.empty() && good.contains(Read(bytes, s, token))) good.insert(s);
      }
    }
  }
  return good;
}

TEST(TokenTrie, WalksEveryTokenOnce) {
  const std::vector<std::string_view> tokens = {"a", "", "abc", "ab", "b", "abd", "ab", "abcdef"};
  const TokenTrie trie(tokens);
  EXPECT_EQ(trie.num_nodes(), 8u);
  std::vector<int32_t> seen;
  trie.Walk(
      0, [](int32_t state, uint8_t) { return state + 1; },
      [&](int32_t token, int32_t state) {
        EXPECT_EQ(static_cast<size_t>(state), tokens[static_cast<size_t>(token)].size());
        seen.push_back(token);
      });
  EXPECT_THAT(seen, testing::UnorderedElementsAre(0, 2, 3, 4, 5, 6, 7));
  seen.clear();
  trie.Walk(
      0, [](int32_t state, uint8_t byte) { return byte == 'c' || byte == 'b' ? -1 : state; },
      [&](int32_t token, int32_t) { seen.push_back(token); });
  EXPECT_THAT(seen, testing::ElementsAre(0));
}

TEST(TokenAutomaton, EqualsTryingEveryToken) {
  PhiloxStream random(21);
  const std::vector<std::string> patterns = {
      "(a|b)*c", "a{2,5}b?", "[ab]+(c[ab]+)*", "abc|abd|b*", "(ab|ba)*", "a(b|c)*a", ".*", "[^a]{3}", ""};
  for (int round = 0; round < 60; ++round) {
    Vocabulary vocabulary;
    const int count = random.Between(3, 40);
    for (int i = 0; i < count; ++i) {
      std::string token;
      for (int length = random.Between(0, 4); length > 0; --length) token += "abcd"[random.Below(4)];
      vocabulary.tokens.push_back(token);
    }
    vocabulary.tokens.push_back("c");
    vocabulary.grammar.ends = {random.Between(0, count)};
    const std::string& pattern = patterns[static_cast<size_t>(round) % patterns.size()];
    SCOPED_TRACE(pattern);
    const ByteAutomaton bytes = Bytes(pattern);
    const int32_t end = vocabulary.grammar.ends[0];
    vocabulary.tokens[static_cast<size_t>(end)].clear();  // for the oracle: an end writes nothing
    const std::set<int32_t> good = Finishable(bytes, vocabulary);
    if (!good.contains(0)) {
      EXPECT_THROW(BuildTokenAutomaton(bytes, vocabulary.Trie(), vocabulary.grammar, "regex"), Error);
      continue;
    }
    const BuiltTokenAutomaton built =
        BuildTokenAutomaton(bytes, vocabulary.Trie(), vocabulary.grammar, "regex");
    ASSERT_EQ(built.automaton.num_states, bytes.num_states);
    EXPECT_EQ(built.thinking_state, -1);
    for (const int32_t state : good) {
      for (int32_t token = 0; token < static_cast<int32_t>(vocabulary.tokens.size()); ++token) {
        const std::string& text = vocabulary.tokens[static_cast<size_t>(token)];
        int32_t expected = text.empty() ? -1 : Read(bytes, state, text);
        if (token == end) expected = bytes.accepts[static_cast<size_t>(state)] ? state : -1;
        if (!good.contains(expected)) expected = -1;
        ASSERT_EQ(NextOf(built.automaton, state, token), expected) << "state " << state << " token " << text;
      }
    }
  }
}

TEST(TokenAutomaton, BeginsAfterTheThinking) {
  const Vocabulary vocabulary{{"a", "b", "<e>", "<think>", "</think>", ""}, {{2}, 3, 4}};
  const BuiltTokenAutomaton built =
      BuildTokenAutomaton(Bytes("ab"), vocabulary.Trie(), vocabulary.grammar, "regex");
  const auto next = [&](int32_t state, int32_t token) { return NextOf(built.automaton, state, token); };
  EXPECT_EQ(built.text_state, 0);
  for (const int32_t token : {0, 1, 3, 5}) EXPECT_EQ(next(built.thinking_state, token), built.thinking_state);
  EXPECT_EQ(next(built.thinking_state, 2), -1);
  EXPECT_EQ(next(built.thinking_state, 4), built.text_state);
  EXPECT_EQ(next(built.open_state, 3), built.thinking_state);
  EXPECT_EQ(next(built.open_state, 0), next(built.text_state, 0));
  for (const int32_t token : {1, 2, 4, 5}) EXPECT_EQ(next(built.open_state, token), -1);
  const int32_t after_a = next(built.text_state, 0), after_b = next(after_a, 1);
  EXPECT_EQ(next(built.text_state, 3), -1);
  EXPECT_EQ(next(after_a, 2), -1);
  EXPECT_EQ(next(after_b, 2), after_b);
  for (const int32_t token : {0, 1, 3, 4, 5}) EXPECT_EQ(next(after_b, token), -1);
}

TEST(TokenAutomaton, RefusesWhatIsTooLarge) {
  Vocabulary vocabulary;
  for (int i = 0; i < 40'000; ++i) vocabulary.tokens.push_back(std::to_string(i));
  EXPECT_THROW(BuildTokenAutomaton(Bytes("(\\d{900}){10}"), vocabulary.Trie(), vocabulary.grammar, "regex"),
               Error);
}

}  // namespace
}  // namespace fourstep
