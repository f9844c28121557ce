#include "grammar/regex.h"

#include <charconv>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace fourstep {
namespace {

constexpr size_t kMaxPatternBytes = 64 << 10;
constexpr int kMaxDepth = 200;
constexpr int32_t kMaxCount = 1000;
constexpr std::string_view kSpecial = "\\.[](){}|*+?^$";

bool IsAsciiLetterOrDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// \d and the like; nothing for other letters.
std::optional<CharacterSet> NamedSet(char name) {
  const char lower = static_cast<char>(name | 0x20);
  CharacterSet set;
  if (lower == 'd') set = {{'0', '9'}};
  if (lower == 'w') set = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
  if (lower == 's') set = {{'\t', '\r'}, {' ', ' '}};
  if (set.empty()) return std::nullopt;
  return name == lower ? set : set.Complement();
}

class Parser {
 public:
  Parser(std::string_view pattern, const std::string& where) : text_(pattern), where_(where) {}

  Regex Parse() {
    Regex regex = Alternatives();
    if (!AtEnd()) throw Fault("\")\" without \"(\"");
    return regex;
  }

 private:
  bool AtEnd() const { return at_ == text_.size(); }
  bool Sees(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool SeesRepeat() const { return Sees("*") || Sees("+") || Sees("?") || Sees("{"); }
  bool Take(std::string_view what) {
    if (!Sees(what)) return false;
    at_ += what.size();
    return true;
  }
  Error Fault(std::string_view what) const { return Errorf(where_, "{}, at byte {}", what, at_); }

  Regex Alternatives() {
    if (++depth_ > kMaxDepth) throw Fault("groups stand too deep in each other");
    Regex all{.kind = Regex::Kind::kAlternatives};
    do all.parts.push_back(Sequence());
    while (Take("|"));
    --depth_;
    if (all.parts.size() == 1) return std::move(all.parts[0]);
    return all;
  }

  Regex Sequence() {
    Regex sequence{.kind = Regex::Kind::kSequence};
    while (!AtEnd() && !Sees("|") && !Sees(")")) sequence.parts.push_back(Repeat());
    return sequence;
  }

  Regex Repeat() {
    Regex atom = Atom();
    int32_t min = 0, max = -1;
    if (!SeesRepeat()) return atom;
    if (Take("+")) {
      min = 1;
    } else if (Take("?")) {
      max = 1;
    } else if (Take("{")) {
      min = Count();
      max = !Take(",") ? min : Sees("}") ? -1 : Count();
      if (max >= 0 && max < min) throw Fault("a repeat ends below where it begins");
      if (!Take("}")) throw Fault("a repeat is not {m}, {m,} or {m,n}");
    } else {
      Take("*");
    }
    if (SeesRepeat()) throw Fault("a repeat of a repeat (lazy ones match the same texts): use a group");
    Regex repeat{.kind = Regex::Kind::kRepeat, .min = min, .max = max};
    repeat.parts.push_back(std::move(atom));
    return repeat;
  }

  int32_t Count() {
    int32_t count = 0;
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), count);
    if (error != std::errc() || count < 0 || count > kMaxCount)
      throw Fault(fmt::format("expected a count of 0..{}", kMaxCount));
    at_ += static_cast<size_t>(end - begin);
    return count;
  }

  Regex Atom() {
    if (Take("(")) {
      if (!Take("?:") && Sees("?")) throw Fault("of groups that begin with (? there is (?: only");
      Regex group = Alternatives();
      if (!Take(")")) throw Fault("\"(\" is not closed");
      return group;
    }
    if (SeesRepeat()) throw Fault("nothing stands before a repeat");
    if (Sees("^") || Sees("$")) throw Fault("there are no anchors: the whole text matches");
    CharacterSet set;
    if (Take(".")) {
      set = CharacterSet{{'\n', '\n'}}.Complement();
    } else if (Take("[")) {
      set = Class();
    } else if (Sees("\\")) {
      set = Escape();
    } else {
      set.Add(Literal());
    }
    return {.kind = Regex::Kind::kSet, .set = std::move(set)};
  }

  CharacterRange Literal() {
    const CodePoint character = DecodeUtf8(text_.substr(at_));
    at_ += character.length_bytes;
    return {character.value, character.value};
  }

  CharacterSet Escape() {
    ++at_;
    if (AtEnd()) throw Fault("a \\ at the end");
    const char c = text_[at_];
    if (const auto named = NamedSet(c)) {
      ++at_;
      return *named;
    }
    constexpr std::string_view kNames = "nrtfv", kMeant = "\n\r\t\f\v";
    if (const size_t which = kNames.find(c); which != kNames.npos) {
      ++at_;
      return {{static_cast<uint32_t>(kMeant[which]), static_cast<uint32_t>(kMeant[which])}};
    }
    if (Take("x")) return CodePointOf(2);
    if (Take("u")) return CodePointOf(4);
    if (IsAsciiLetterOrDigit(c)) throw Fault(fmt::format("\\{} means nothing here", c));
    return {Literal()};
  }

  CharacterSet CodePointOf(size_t digits) {
    uint32_t value = 0;
    const std::string_view text = text_.substr(at_, digits);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc() || end != text.data() + digits)
      throw Fault(fmt::format("expected {} hexadecimal digits", digits));
    const CharacterSet set = {{value, value}};
    if (set.empty()) throw Fault("a surrogate is no character");
    at_ += digits;
    return set;
  }

  // After its "[".
  CharacterSet Class() {
    const bool is_negated = Take("^");
    if (Sees("]")) throw Fault("a class is empty; a \"]\" in it needs a \\");
    CharacterSet set;
    do set.Add(ClassPart());
    while (!Take("]"));
    if (is_negated) set = set.Complement();
    if (set.empty()) throw Fault("a class matches nothing");
    return set;
  }

  // A member or a range of two.
  CharacterSet ClassPart() {
    const CharacterSet low = ClassMember();
    if (!Sees("-") || Sees("-]")) return low;
    ++at_;
    const CharacterSet high = ClassMember();
    if (!IsOne(low) || !IsOne(high) || high.ranges()[0].first < low.ranges()[0].first)
      throw Fault("a range of a class has no order");
    return {{low.ranges()[0].first, high.ranges()[0].first}};
  }

  static bool IsOne(const CharacterSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
  }

  CharacterSet ClassMember() {
    if (AtEnd()) throw Fault("\"[\" is not closed");
    if (Sees("\\")) return Escape();
    if (Sees("[")) throw Fault("a \"[\" in a class needs a \\");
    return {Literal()};
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Regex ParseRegex(std::string_view pattern, const std::string& where) {
  if (pattern.size() > kMaxPatternBytes)
    throw Errorf(where, "has {} bytes, expected at most {}", pattern.size(), kMaxPatternBytes);
  if (ReplaceInvalidUtf8(pattern) != pattern) throw Error(where, "is not valid UTF-8");
  return Parser(pattern, where).Parse();
}

std::string ChoicePattern(std::span<const std::string> texts) {
  std::string pattern;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) pattern += '|';
    for (const char c : texts[i]) {
      if (kSpecial.find(c) != kSpecial.npos) pattern += '\\';
      pattern += c;
    }
  }
  return pattern;
}

}  // namespace fourstep
