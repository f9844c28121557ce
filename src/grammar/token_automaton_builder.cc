#include "grammar/token_automaton_builder.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/error.h"

namespace fourstep {
namespace {

constexpr size_t kMaxWork = size_t{1} << 28;  // tokens and bytes tried: a few seconds
constexpr size_t kMaxTable = size_t{1} << 24;
constexpr size_t kMaxClasses = 1 << 16;

struct Step {
  int32_t token, next;
};

class Builder {
 public:
  Builder(const ByteAutomaton& bytes, const TokenTrie& trie, const GrammarTokens& tokens,
          const std::string& where)
      : bytes_(bytes), trie_(trie), tokens_(tokens), where_(where), num_states_(bytes.num_states) {
    if (!tokens.think_open) return;
    built_.thinking_state = num_states_++;
    built_.open_state = num_states_++;
  }

  BuiltTokenAutomaton Run() {
    class_of_.resize(static_cast<size_t>(trie_.num_tokens()));
    for (int32_t state = 0; state < num_states_; ++state) {
      FindSteps(state);
      SplitClasses(state);
    }
    FillTable();
    ForbidDeadEnds();
    return std::move(built_);
  }

 private:
  Error TooLarge() const {
    return Error(where_, "is too large for this vocabulary: fewer or smaller repeats would do");
  }

  // What may follow in a state: steps_.
  void FindSteps(int32_t state) {
    steps_.clear();
    if (state == built_.thinking_state) {
      FindThoughtSteps(state);
    } else {
      FindTextSteps(state);
    }
    num_tried_ += steps_.size();
    if (num_tried_ > kMaxWork) throw TooLarge();
  }

  void FindThoughtSteps(int32_t state) {
    for (int32_t token = 0; token < trie_.num_tokens(); ++token) {
      if (IsEnd(token)) continue;
      steps_.push_back({token, token == tokens_.think_close ? built_.text_state : state});
    }
  }

  void FindTextSteps(int32_t state) {
    const bool is_open = state == built_.open_state;
    const int32_t start = is_open ? built_.text_state : state;
    const auto next = [&](int32_t from, uint8_t byte) {
      ++num_tried_;
      return bytes_.Next(from, byte);
    };
    trie_.Walk(start, next, [&](int32_t token, int32_t to) {
      if (!IsEnd(token) && token != tokens_.think_open && token != tokens_.think_close)
        steps_.push_back({token, to});
    });
    if (bytes_.accepts[static_cast<size_t>(start)]) {
      for (const int32_t end : tokens_.ends) {
        if (end >= 0 && end < trie_.num_tokens()) steps_.push_back({end, state});
      }
    }
    if (is_open) steps_.push_back({*tokens_.think_open, built_.thinking_state});
  }

  bool IsEnd(int32_t token) const {
    return std::find(tokens_.ends.begin(), tokens_.ends.end(), token) != tokens_.ends.end();
  }

  // Tokens of one class stay together where they lead alike: those of steps_ form classes by what they were
  // and where they lead, the others stay what they were.
  void SplitClasses(int32_t state) {
    std::unordered_map<uint64_t, int32_t> new_class;
    for (const Step& step : steps_) {
      int32_t& token_class = class_of_[static_cast<size_t>(step.token)];
      const uint64_t key = static_cast<uint64_t>(token_class) << 32 | static_cast<uint32_t>(step.next);
      const auto [found, is_new] = new_class.try_emplace(key, static_cast<int32_t>(classes_.size()));
      if (is_new) classes_.push_back({.from = token_class, .state = state, .next = step.next});
      token_class = found->second;
    }
    if (classes_.size() > kMaxTable) throw TooLarge();
  }

  // Of the classes that still have tokens, numbered from 0.
  void FillTable() {
    std::vector<int32_t> number(classes_.size(), -1), final_classes;
    TokenAutomaton& automaton = built_.automaton;
    for (const int32_t token_class : class_of_) {
      int32_t& n = number[static_cast<size_t>(token_class)];
      if (n < 0) {
        n = static_cast<int32_t>(final_classes.size());
        final_classes.push_back(token_class);
      }
      automaton.token_class.push_back(static_cast<uint16_t>(n));
    }
    const size_t table_size = final_classes.size() * static_cast<size_t>(num_states_);
    if (final_classes.size() > kMaxClasses || table_size > kMaxTable) throw TooLarge();
    automaton.num_states = num_states_;
    automaton.num_classes = static_cast<int32_t>(final_classes.size());
    automaton.next_state.resize(table_size, -1);
    for (size_t n = 0; n < final_classes.size(); ++n) {
      for (int32_t c = final_classes[n]; c > 0; c = classes_[static_cast<size_t>(c)].from)
        Row(classes_[static_cast<size_t>(c)].state)[n] = classes_[static_cast<size_t>(c)].next;
    }
  }

  int32_t* Row(int32_t state) {
    return built_.automaton.next_state.data() + int64_t{state} * built_.automaton.num_classes;
  }

  // Bytes that the vocabulary cannot write make states from which nothing leads to a match.
  void ForbidDeadEnds() {
    const auto count = static_cast<size_t>(num_states_);
    std::vector<std::vector<int32_t>> sources(count);
    for (int32_t state = 0; state < num_states_; ++state) {
      for (int32_t c = 0; c < built_.automaton.num_classes; ++c) {
        const int32_t next = Row(state)[c];
        if (next < 0) continue;
        std::vector<int32_t>& of_next = sources[static_cast<size_t>(next)];
        if (of_next.empty() || of_next.back() != state) of_next.push_back(state);
      }
    }
    std::vector<bool> can_match(count);
    std::vector<int32_t> open;
    for (int32_t state = 0; state < bytes_.num_states; ++state) {
      if (bytes_.accepts[static_cast<size_t>(state)]) open.push_back(state);
    }
    while (!open.empty()) {
      const auto state = static_cast<size_t>(open.back());
      open.pop_back();
      if (can_match[state]) continue;
      can_match[state] = true;
      open.insert(open.end(), sources[state].begin(), sources[state].end());
    }
    if (!can_match[static_cast<size_t>(built_.text_state)])
      throw Error(where_, "matches nothing that the model's tokens can write");
    for (int32_t& next : built_.automaton.next_state) {
      if (next >= 0 && !can_match[static_cast<size_t>(next)]) next = -1;
    }
  }

  const ByteAutomaton& bytes_;
  const TokenTrie& trie_;
  const GrammarTokens& tokens_;
  const std::string& where_;
  BuiltTokenAutomaton built_;
  int32_t num_states_;
  size_t num_tried_ = 0;           // tokens and bytes of them
  std::vector<Step> steps_;        // of one state
  std::vector<int32_t> class_of_;  // [num_tokens]
  // Class 0 may follow nowhere. Another one may where those do that it came from, and leads from `state` to
  // `next`.
  struct Class {
    int32_t from, state, next;
  };
  std::vector<Class> classes_ = {{-1, -1, -1}};
};

}  // namespace

BuiltTokenAutomaton BuildTokenAutomaton(const ByteAutomaton& bytes, const TokenTrie& trie,
                                        const GrammarTokens& tokens, const std::string& where) {
  return Builder(bytes, trie, tokens, where).Run();
}

}  // namespace fourstep
