#include "grammar/byte_automaton.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "grammar/dfa_minimiser.h"

namespace fourstep {
namespace {

constexpr size_t kMaxNfaStates = 1 << 16;
constexpr int32_t kMaxStates = 10'000;
constexpr size_t kMaxWork = size_t{1} << 25;  // a second at most

// Reads a byte in its range, or, where the range is empty, nothing.
struct NfaState {
  int first = 1, last = 0;        // of bytes
  int32_t next = -1, other = -1;  // other: of those that read nothing
  bool reads() const { return first <= last; }
};

// Thompson's construction, from the end to the beginning.
class Nfa {
 public:
  Nfa(const Regex& regex, const std::string& where) : where_(where) {
    states_.push_back({});  // the match
    start_ = Add(regex, 0);
  }

  const NfaState& state(int32_t s) const { return states_[static_cast<size_t>(s)]; }
  size_t size() const { return states_.size(); }
  int32_t start() const { return start_; }
  static bool IsMatch(int32_t s) { return s == 0; }

 private:
  int32_t New(const NfaState& state) {
    if (states_.size() == kMaxNfaStates) throw TooLarge();
    states_.push_back(state);
    return static_cast<int32_t>(states_.size()) - 1;
  }
  Error TooLarge() const { return Error(where_, "is too large: fewer or smaller repeats would do"); }

  // The state that reads `regex` and goes on with `next`.
  int32_t Add(const Regex& regex, int32_t next) {
    if (++num_added_ > 8 * kMaxNfaStates) throw TooLarge();  // repeats of what reads nothing
    switch (regex.kind) {
      case Regex::Kind::kSet:
        return AddSet(regex.set, next);
      case Regex::Kind::kSequence:
        for (size_t i = regex.parts.size(); i-- > 0;) next = Add(regex.parts[i], next);
        return next;
      case Regex::Kind::kAlternatives:
        return AddAlternatives(regex, next);
      case Regex::Kind::kRepeat:
        return AddRepeat(regex, next);
    }
    return next;
  }

  int32_t AddSet(const CharacterSet& set, int32_t next) {
    int32_t any = -1;
    for (const Utf8Sequence& sequence : Utf8Sequences(set)) {
      int32_t at = next;
      for (int i = sequence.length - 1; i >= 0; --i) {
        const ByteRange& range = sequence.bytes[static_cast<size_t>(i)];
        at = New({.first = range.first, .last = range.last, .next = at});
      }
      any = any < 0 ? at : New({.next = at, .other = any});
    }
    return any;
  }

  int32_t AddAlternatives(const Regex& regex, int32_t next) {
    int32_t any = Add(regex.parts[0], next);
    for (size_t i = 1; i < regex.parts.size(); ++i) {
      const int32_t alternative = Add(regex.parts[i], next);
      any = New({.next = alternative, .other = any});
    }
    return any;
  }

  int32_t AddRepeat(const Regex& regex, int32_t next) {
    const Regex& part = regex.parts[0];
    int32_t at = next;
    if (regex.max < 0) {
      at = New({.other = next});
      const int32_t again = Add(part, at);
      states_[static_cast<size_t>(at)].next = again;
    }
    for (int32_t i = regex.min; i < regex.max; ++i) {
      const int32_t once_more = Add(part, at);
      at = New({.next = once_more, .other = next});
    }
    for (int32_t i = 0; i < regex.min; ++i) at = Add(part, at);
    return at;
  }

  const std::string& where_;
  std::vector<NfaState> states_;
  int32_t start_ = 0;
  size_t num_added_ = 0;
};

// The subset construction: a state is the set of NFA states that read, or match, after some text.
class Determiniser {
 public:
  Determiniser(const Nfa& nfa, const std::string& where) : nfa_(nfa), where_(where), is_in_(nfa.size()) {}

  ByteAutomaton Run() {
    FindClasses();
    StateOf({nfa_.start()});
    const auto classes = static_cast<size_t>(dfa_.num_classes);
    std::vector<std::vector<int32_t>> targets(classes);
    for (size_t s = 0; s < sets_.size(); ++s) {
      for (std::vector<int32_t>& target : targets) target.clear();
      for (const int32_t member : *sets_[s]) {
        const NfaState& state = nfa_.state(member);
        if (!state.reads()) continue;
        const size_t last = dfa_.byte_class[static_cast<size_t>(state.last)];
        for (size_t c = dfa_.byte_class[static_cast<size_t>(state.first)]; c <= last; ++c)
          targets[c].push_back(state.next);
      }
      for (const std::vector<int32_t>& target : targets)
        dfa_.next.push_back(target.empty() ? ByteAutomaton::kDead : StateOf(target));
    }
    dfa_.num_states = static_cast<int32_t>(sets_.size());
    return std::move(dfa_);
  }

 private:
  // Bytes that no range tells apart, in intervals.
  void FindClasses() {
    std::array<bool, 257> begins = {};
    for (size_t s = 0; s < nfa_.size(); ++s) {
      const NfaState& state = nfa_.state(static_cast<int32_t>(s));
      if (!state.reads()) continue;
      begins[static_cast<size_t>(state.first)] = begins[static_cast<size_t>(state.last) + 1] = true;
    }
    for (size_t byte = 1; byte < 256; ++byte) {
      dfa_.byte_class[byte] = static_cast<uint8_t>(dfa_.byte_class[byte - 1] + (begins[byte] ? 1 : 0));
    }
    dfa_.num_classes = dfa_.byte_class[255] + 1;
  }

  int32_t StateOf(const std::vector<int32_t>& from) {
    std::vector<int32_t> set, open = from;
    std::vector<int32_t> seen;
    while (!open.empty()) {
      const int32_t s = open.back();
      open.pop_back();
      if (s < 0 || is_in_[static_cast<size_t>(s)]) continue;
      is_in_[static_cast<size_t>(s)] = true;
      seen.push_back(s);
      const NfaState& state = nfa_.state(s);
      if (state.reads() || Nfa::IsMatch(s)) {
        set.push_back(s);
      } else {
        open.push_back(state.other);
        open.push_back(state.next);
      }
    }
    for (const int32_t s : seen) is_in_[static_cast<size_t>(s)] = false;
    num_visited_ += from.size() + seen.size() + 1;
    if (num_visited_ > kMaxWork)
      throw Error(where_, "is too complicated: simpler alternatives or repeats would do");
    std::sort(set.begin(), set.end());
    const bool accepts = !set.empty() && Nfa::IsMatch(set[0]);
    const auto [found, is_new] = ids_.emplace(std::move(set), static_cast<int32_t>(sets_.size()));
    if (is_new) {
      if (static_cast<int32_t>(sets_.size()) == kMaxStates)
        throw Errorf(where_, "needs more than {} states: simpler alternatives or repeats would do",
                     kMaxStates);
      sets_.push_back(&found->first);
      dfa_.accepts.push_back(accepts);
    }
    return found->second;
  }

  const Nfa& nfa_;
  const std::string& where_;
  std::vector<bool> is_in_;  // [nfa states], of the set that is being gathered
  std::map<std::vector<int32_t>, int32_t> ids_;
  std::vector<const std::vector<int32_t>*> sets_;  // by state; a map's keys stay where they are
  size_t num_visited_ = 0;
  ByteAutomaton dfa_;
};

}  // namespace

ByteAutomaton BuildByteAutomaton(const Regex& regex, const std::string& where) {
  const Nfa nfa(regex, where);
  return Minimised(Determiniser(nfa, where).Run());
}

}  // namespace fourstep
