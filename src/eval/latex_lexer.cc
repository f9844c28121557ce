#include "eval/latex_lexer.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/utf8.h"
#include "eval/answer.h"

namespace fourstep {
namespace {

using Kind = LatexToken::Kind;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

const std::set<std::string_view> kFunctions = {
    "sin",  "cos",  "tan", "cot", "sec", "csc",  "arcsin", "arccos", "arctan", "sinh",
    "cosh", "tanh", "ln",  "log", "exp", "sqrt", "abs",    "floor",  "ceil",   "arccot",
};

// Words that stand for a name of a number or a symbol in plain text.
const std::map<std::string_view, std::string_view> kPlainWords = {
    {"pi", "\\pi"},       {"theta", "\\theta"},    {"alpha", "\\alpha"}, {"beta", "\\beta"},
    {"infty", "\\infty"}, {"infinity", "\\infty"}, {"inf", "\\infty"},
};

const std::map<std::string_view, std::string_view> kPowersOfTen = {
    {"hundred", "100"}, {"thousand", "1000"}, {"million", "1e6"}, {"billion", "1e9"}, {"trillion", "1e12"},
};

// Short units that are written without \text; longer words are words anyway.
const std::set<std::string_view> kShortUnits = {"cm",  "mm",  "km",  "ft", "in",  "lb",  "lbs",
                                                "oz",  "kg",  "mg",  "hr", "hrs", "min", "sec",
                                                "mph", "deg", "and", "or", "am",  "pm"};

const std::map<std::string_view, LatexToken> kCommands = {
    {"dfrac", {Kind::kSign, "\\frac"}},
    {"tfrac", {Kind::kSign, "\\frac"}},
    {"cfrac", {Kind::kSign, "\\frac"}},
    {"frac", {Kind::kSign, "\\frac"}},
    {"binom", {Kind::kSign, "\\binom"}},
    {"dbinom", {Kind::kSign, "\\binom"}},
    {"tbinom", {Kind::kSign, "\\binom"}},
    {"cdot", {Kind::kSign, "*"}},
    {"times", {Kind::kSign, "*"}},
    {"ast", {Kind::kSign, "*"}},
    {"div", {Kind::kSign, "/"}},
    {"pm", {Kind::kSign, "\\pm"}},
    {"mp", {Kind::kSign, "\\mp"}},
    {"le", {Kind::kSign, "<="}},
    {"leq", {Kind::kSign, "<="}},
    {"leqslant", {Kind::kSign, "<="}},
    {"ge", {Kind::kSign, ">="}},
    {"geq", {Kind::kSign, ">="}},
    {"geqslant", {Kind::kSign, ">="}},
    {"lt", {Kind::kSign, "<"}},
    {"gt", {Kind::kSign, ">"}},
    {"ne", {Kind::kSign, "\\ne"}},
    {"neq", {Kind::kSign, "\\ne"}},
    {"in", {Kind::kSign, "\\in"}},
    {"cup", {Kind::kSign, "\\cup"}},
    {"lbrace", {Kind::kSign, "\\{"}},
    {"rbrace", {Kind::kSign, "\\}"}},
    {"langle", {Kind::kSign, "("}},
    {"rangle", {Kind::kSign, ")"}},
    {"lvert", {Kind::kSign, "|"}},
    {"rvert", {Kind::kSign, "|"}},
    {"vert", {Kind::kSign, "|"}},
    {"mid", {Kind::kSign, "|"}},
    {"lfloor", {Kind::kSign, "\\lfloor"}},
    {"rfloor", {Kind::kSign, "\\rfloor"}},
    {"lceil", {Kind::kSign, "\\lceil"}},
    {"rceil", {Kind::kSign, "\\rceil"}},
    {"lbrack", {Kind::kSign, "["}},
    {"rbrack", {Kind::kSign, "]"}},
    {"varnothing", {Kind::kSymbol, "\\emptyset"}},
    {"land", {Kind::kWord, "and"}},
    {"lor", {Kind::kWord, "or"}},
    {"vee", {Kind::kWord, "or"}},
    {"wedge", {Kind::kWord, "and"}},
    {"infinity", {Kind::kSymbol, "\\infty"}},
};

// Without any meaning of their own; an argument in braces goes on as a group.
const std::set<std::string_view> kLooks = {
    "left",    "right",    "big",       "Big",          "bigg",        "Bigg",   "bigl",
    "bigr",    "Bigl",     "Bigr",      "biggl",        "biggr",       "quad",   "qquad",
    "limits",  "nolimits", "mathbf",    "boldsymbol",   "mathit",      "bf",     "it",
    "rm",      "sf",       "textstyle", "displaystyle", "scriptstyle", "middle", "hspace",
    "phantom", "enspace",  "thinspace", "bm",           "mathsf",      "mathbb", "mathcal",
};

// Their argument in braces is text.
const std::set<std::string_view> kTexts = {"text",   "mbox",         "textbf", "textrm",
                                           "textit", "textnormal",   "texttt", "textsf",
                                           "mathrm", "operatorname", "hbox"};

struct Spelling {
  std::string_view from;
  LatexToken to;
};
const Spelling kUnicode[] = {
    {"−", {Kind::kSign, "-"}},         {"–", {Kind::kSign, "-"}},
    {"×", {Kind::kSign, "*"}},         {"·", {Kind::kSign, "*"}},
    {"⋅", {Kind::kSign, "*"}},         {"÷", {Kind::kSign, "/"}},
    {"±", {Kind::kSign, "\\pm"}},      {"≤", {Kind::kSign, "<="}},
    {"≥", {Kind::kSign, ">="}},        {"≠", {Kind::kSign, "\\ne"}},
    {"∈", {Kind::kSign, "\\in"}},      {"∪", {Kind::kSign, "\\cup"}},
    {"∞", {Kind::kSymbol, "\\infty"}}, {"π", {Kind::kSymbol, "\\pi"}},
    {"θ", {Kind::kSymbol, "\\theta"}}, {"√", {Kind::kFunction, "sqrt"}},
    {"°", {Kind::kUnit, "degree"}},    {"⟨", {Kind::kSign, "("}},
    {"⟩", {Kind::kSign, ")"}},         {"∅", {Kind::kSymbol, "\\emptyset"}},
};
const std::pair<std::string_view, std::string_view> kPowers[] = {{"²", "2"}, {"³", "3"}};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : rest_(text) {}

  std::vector<LatexToken> Run() {
    while (!rest_.empty()) Step();
    while (!tokens_.empty() && (tokens_.back().Is(".") || tokens_.back().Is(","))) tokens_.pop_back();
    return std::move(tokens_);
  }

 private:
  // A word, or a few of them in one \text. One that begins with a power of ten behind a number multiplies it.
  void AddWord(std::string_view text) {
    const size_t end = std::min(text.find(' '), text.size());
    const auto power = kPowersOfTen.find(text.substr(0, end));
    if (power != kPowersOfTen.end() && !tokens_.empty() && tokens_.back().kind == Kind::kNumber) {
      Add(Kind::kSign, "*");
      Add(Kind::kNumber, std::string(power->second));
      text = TrimBlanks(text.substr(end));
    }
    if (!text.empty()) Add(Kind::kWord, std::string(text));
  }
  void Add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text)}); }
  void Skip(size_t bytes) { rest_.remove_prefix(std::min(bytes, rest_.size())); }

  void Step() {
    const char c = rest_[0];
    if (IsDigit(c) || (c == '.' && rest_.size() > 1 && IsDigit(rest_[1]))) return Number();
    if (IsLetter(c)) return Word();
    if (c == '\\') return Command();
    if (static_cast<unsigned char>(c) >= 0x80) return Unicode();
    Skip(1);
    if (c == '%') return Add(Kind::kUnit, "%");
    if (std::string_view(" \t\r\n$~").find(c) != std::string_view::npos) return;
    if (c == '<' || c == '>' || c == '!') {
      const bool with_equals = rest_.starts_with('=');
      if (with_equals) Skip(1);
      return Add(Kind::kSign, c == '!' && with_equals ? "\\ne"
                              : with_equals           ? std::string{c, '='}
                                                      : std::string{c});
    }
    if (c == '*' && rest_.starts_with('*')) {
      Skip(1);
      return Add(Kind::kSign, "^");
    }
    if (c == '(' || c == '[') ++depth_;
    if (c == ')' || c == ']') --depth_;
    Add(Kind::kSign, std::string{c});
  }

  // The bytes of a separator of thousands that three digits, and no fourth, follow; 0 where there is none.
  size_t ThousandsSeparator(std::string_view text) const {
    size_t length = 0;
    for (const std::string_view separator : {",\\!", "{,}", "\\,", "\\!", "{\\,}", ","}) {
      if (!text.starts_with(separator)) continue;
      // Between brackets a bare comma parts the elements.
      if (separator == "," && depth_ > 0) continue;
      length = separator.size();
      while (separator == ",\\!" && length < text.size() && text[length] == ' ') ++length;
      break;
    }
    if (length == 0) return 0;
    const std::string_view digits = text.substr(length);
    if (digits.size() < 3 || !std::all_of(digits.begin(), digits.begin() + 3, IsDigit)) return 0;
    return digits.size() > 3 && IsDigit(digits[3]) ? 0 : length;
  }

  std::string Digits() {
    size_t n = 0;
    while (n < rest_.size() && IsDigit(rest_[n])) ++n;
    std::string digits(rest_.substr(0, n));
    Skip(n);
    return digits;
  }

  void Number() {
    std::string number = Digits();
    if (!number.empty() && number.size() <= 3 && number[0] != '0') {
      while (const size_t separator = ThousandsSeparator(rest_)) {
        Skip(separator);
        number += Digits();
      }
    }
    if (rest_.size() > 1 && rest_[0] == '.' && IsDigit(rest_[1])) {
      Skip(1);
      number += "." + Digits();
    } else if (rest_.starts_with(".") && !number.empty() && !rest_.starts_with("..")) {
      Skip(1);  // "5." is 5
    }
    if (rest_.size() > 1 && (rest_[0] == 'e' || rest_[0] == 'E')) {
      const size_t sign = rest_[1] == '-' || rest_[1] == '+' ? 1 : 0;
      if (rest_.size() > 1 + sign && IsDigit(rest_[1 + sign])) {
        number += "e";
        if (rest_[1] == '-') number += "-";
        Skip(1 + sign);
        number += Digits();
      }
    }
    Add(Kind::kNumber, number);
  }

  void Word() {
    size_t n = 0;
    while (n < rest_.size() && IsLetter(rest_[n])) ++n;
    const std::string_view word = rest_.substr(0, n);
    const auto plain = kPlainWords.find(word);
    if (kFunctions.contains(word)) {
      Add(Kind::kFunction, std::string(word));
    } else if (plain != kPlainWords.end()) {
      Add(Kind::kSymbol, std::string(plain->second));
    } else if (n >= 4 || kShortUnits.contains(word)) {
      AddWord(word);
    } else {
      for (const char c : word) Add(Kind::kSymbol, std::string{c});
    }
    Skip(n);
  }

  // The inside of the braces that stand here; nothing where there are none or they do not close.
  std::string_view BracedText() {
    while (rest_.starts_with(' ')) Skip(1);
    if (!rest_.starts_with('{')) return {};
    int64_t depth = 0;
    for (size_t i = 0; i < rest_.size(); ++i) {
      if (rest_[i] == '{') ++depth;
      if (rest_[i] == '}' && --depth == 0) {
        const std::string_view inside = rest_.substr(1, i - 1);
        Skip(i + 1);
        return inside;
      }
    }
    return {};
  }

  void Command() {
    Skip(1);
    size_t n = 0;
    while (n < rest_.size() && IsLetter(rest_[n])) ++n;
    if (n == 0) return Escape();
    const std::string_view name = rest_.substr(0, n);
    Skip(n);
    const auto command = kCommands.find(name);
    if (name == "circ" || name == "degree") {
      Degree();
    } else if (command != kCommands.end()) {
      tokens_.push_back(command->second);
      depth_ += name == "langle" || name == "lbrace" || name == "lbrack" ? 1 : 0;
      depth_ -= name == "rangle" || name == "rbrace" || name == "rbrack" ? 1 : 0;
    } else if (kTexts.contains(name)) {
      TextToken(BracedText(), name == "mathrm" || name == "operatorname");
    } else if (name == "begin" || name == "end") {
      Environment(name == "begin");
    } else if (kFunctions.contains(name)) {
      Add(Kind::kFunction, std::string(name));
    } else if (name == "overline" && !tokens_.empty() && tokens_.back().kind == Kind::kNumber) {
      Add(Kind::kSign, "\\overline");
    } else if (!kLooks.contains(name)) {
      Add(Kind::kSymbol, "\\" + std::string(name));
    }
  }

  // ^\circ and ^{\circ} are no powers.
  void Degree() {
    const auto last_is = [&](std::string_view sign) { return !tokens_.empty() && tokens_.back().Is(sign); };
    if (last_is("{") && tokens_.size() > 1 && tokens_[tokens_.size() - 2].Is("^")) {
      tokens_.pop_back();
      if (rest_.starts_with('}')) Skip(1);
    }
    if (last_is("^")) tokens_.pop_back();
    Add(Kind::kUnit, "degree");
  }

  // `is_formula`: a single letter is a symbol, not a word.
  void TextToken(std::string_view inside, bool is_formula) {
    const std::string text(TrimBlanks(inside));
    if (text.empty()) return;
    if (kFunctions.contains(text)) return Add(Kind::kFunction, text);
    if (text.size() == 1 && is_formula) return Add(Kind::kSymbol, text);
    if (std::any_of(text.begin(), text.end(), IsLetter)) return AddWord(text);
    // A number or a sign in an upright face.
    if (text.find('\\') == text.npos) {
      std::vector<LatexToken> inner = LexLatex(text);
      tokens_.insert(tokens_.end(), inner.begin(), inner.end());
    }
  }

  void Environment(bool begins) {
    const std::string name(BracedText());
    if (begins && name == "array") BracedText();
    depth_ += begins ? 1 : -1;
    Add(Kind::kSign, begins ? "[[" : "]]");
  }

  void Escape() {
    if (rest_.empty()) return;
    const char c = rest_[0];
    Skip(1);
    if (c == '{' || c == '}') {
      depth_ += c == '{' ? 1 : -1;
      return Add(Kind::kSign, std::string{'\\', c});
    }
    if (c == '%') return Add(Kind::kUnit, "%");
    if (c == '$') return Add(Kind::kUnit, "dollar");
    if (c == '\\') return Add(Kind::kSign, "\\\\");
    if (c == '|') return Add(Kind::kSign, "|");
    // Blanks (\, \; \! "\ ") and the ends of formulas (\( \) \[ \]) mean nothing.
  }

  void Unicode() {
    for (const auto& [from, to] : kUnicode) {
      if (rest_.starts_with(from)) {
        Skip(from.size());
        return to.text == "degree" ? Degree() : tokens_.push_back(to);
      }
    }
    for (const auto& [from, to] : kPowers) {
      if (rest_.starts_with(from)) {
        Skip(from.size());
        Add(Kind::kSign, "^");
        return Add(Kind::kNumber, std::string(to));
      }
    }
    const size_t length = std::max<size_t>(1, Utf8Length(rest_));
    Add(Kind::kSymbol, std::string(rest_.substr(0, length)));
    Skip(length);
  }

  std::string_view rest_;
  std::vector<LatexToken> tokens_;
  int64_t depth_ = 0;  // of brackets around the place
};

}  // namespace

std::vector<LatexToken> LexLatex(std::string_view text) {
  return Lexer(text).Run();
}

}  // namespace fourstep
