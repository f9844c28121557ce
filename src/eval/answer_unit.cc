#include "eval/answer_unit.h"

#include <map>
#include <vector>

namespace fourstep {
namespace {

using Kind = LatexToken::Kind;

const std::map<std::string_view, std::string_view> kSynonyms = {
    {"centimeter", "cm"}, {"centimetre", "cm"}, {"millimeter", "mm"}, {"millimetre", "mm"}, {"meter", "m"},
    {"metre", "m"},       {"kilometer", "km"},  {"kilometre", "km"},  {"inche", "inch"},    {"in", "inch"},
    {"foot", "ft"},       {"feet", "ft"},       {"yard", "yd"},       {"mile", "mi"},       {"pound", "lb"},
    {"ounce", "oz"},      {"gram", "g"},        {"kilogram", "kg"},   {"liter", "l"},       {"litre", "l"},
    {"second", "s"},      {"sec", "s"},         {"minute", "min"},    {"hour", "h"},        {"hr", "h"},
    {"deg", "degree"},    {"usd", "dollar"},    {"percent", "%"},     {"mph", "mi/h"},      {"per", "/"},
};

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::vector<std::string> WordsOf(const std::string& text) {
  std::vector<std::string> words;
  bool in_word = false;
  for (const char c : text) {
    const bool parts = c == ' ' || c == '\t' || c == '\n' || c == '.' || c == '~' || c == '\\' || c == ',';
    if (!parts && (!in_word || c == '/')) words.emplace_back();
    if (!parts) words.back() += Lower(c);
    in_word = !parts && c != '/';
  }
  return words;
}

std::string Canonical(std::string word) {
  if (word.size() > 2 && word.ends_with('s')) word.pop_back();
  const auto synonym = kSynonyms.find(word);
  return synonym == kSynonyms.end() ? word : std::string(synonym->second);
}

class UnitWriter {
 public:
  void Word(const std::string& written) {
    const std::string word = written == "/" ? written : Canonical(written);
    if (word == "square" || word == "sq") return void(next_power_ = "^2");
    if (word == "cubic" || word == "cu") return void(next_power_ = "^3");
    if (word == "squared" || word == "cubed") return Power(word == "squared" ? "2" : "3");
    is_generic_ = word == "unit";
    if (!is_generic_) {
      if (!unit_.empty() && word != "/" && !unit_.ends_with('/')) unit_ += " ";
      unit_ += word + next_power_;
    }
    next_power_.clear();
  }
  void Power(const std::string& exponent) {
    if (!is_generic_) unit_ += "^" + exponent;
  }
  std::string unit() const { return unit_; }

 private:
  std::string unit_, next_power_;
  bool is_generic_ = false;
};

}  // namespace

std::optional<std::string> CanonicalUnit(std::span<const LatexToken> tokens) {
  UnitWriter writer;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const LatexToken& token = tokens[i];
    if (token.kind == Kind::kWord || token.kind == Kind::kSymbol) {
      // "or 117" is no unit.
      if (token.text.find_first_of("0123456789") != token.text.npos) return {};
      for (const std::string& word : WordsOf(token.text)) writer.Word(word);
    } else if (token.kind == Kind::kUnit || token.Is("/")) {
      writer.Word(token.text);
    } else if (token.Is("^")) {
      i += i + 1 < tokens.size() && tokens[i + 1].Is("{") ? 2 : 1;
      if (i >= tokens.size() || tokens[i].kind != Kind::kNumber) return {};
      writer.Power(tokens[i].text);
    } else if (!token.Is("{") && !token.Is("}") && !token.Is(".")) {
      return {};
    }
  }
  return writer.unit();
}

}  // namespace fourstep
