#include "eval/math_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "eval/answer.h"
#include "eval/answer_unit.h"

namespace fourstep {
namespace {

using Tokens = std::span<const LatexToken>;
using TokenKind = LatexToken::Kind;
using Kind = MathAnswer::Kind;

constexpr size_t kMaxBytes = 1000;
constexpr int kMaxDepth = 16;

std::string SpellingOf(Tokens tokens) {
  std::string spelling;
  for (const LatexToken& token : tokens) {
    // Braces around one argument are a matter of taste.
    if (!token.Is("{") && !token.Is("}")) spelling += token.text + " ";
  }
  return spelling;
}

bool IsOpening(const LatexToken& token) {
  return token.Is("(") || token.Is("[") || token.Is("{") || token.Is("\\{") || token.Is("[[");
}
bool IsClosing(const LatexToken& token) {
  return token.Is(")") || token.Is("]") || token.Is("}") || token.Is("\\}") || token.Is("]]");
}

// Parts between tokens that `parts_here` chooses, outside all brackets. One part where there are none.
std::vector<Tokens> SplitAt(Tokens tokens, const std::function<bool(const LatexToken&)>& parts_here) {
  std::vector<Tokens> parts;
  size_t begin = 0;
  int64_t depth = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    depth += IsOpening(tokens[i]) ? 1 : IsClosing(tokens[i]) ? -1 : 0;
    if (depth != 0 || !parts_here(tokens[i])) continue;
    parts.push_back(tokens.subspan(begin, i - begin));
    begin = i + 1;
  }
  parts.push_back(tokens.subspan(begin));
  return parts;
}

std::vector<Tokens> SplitAt(Tokens tokens, std::string_view sign) {
  return SplitAt(tokens, [&](const LatexToken& token) { return token.Is(sign); });
}

bool PartsList(const LatexToken& token) {
  return token.Is(",") || token.Is(";") ||
         (token.kind == TokenKind::kWord && (token.text == "and" || token.text == "or"));
}

bool IsOrder(const LatexToken& token) {
  return token.Is("<") || token.Is("<=") || token.Is(">") || token.Is(">=");
}

// Whether the first token's bracket closes with the last token only.
bool IsWrapped(Tokens tokens) {
  if (tokens.size() < 2 || !IsOpening(tokens.front()) || !IsClosing(tokens.back())) return false;
  int64_t depth = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    depth += IsOpening(tokens[i]) ? 1 : IsClosing(tokens[i]) ? -1 : 0;
    if (depth == 0) return i + 1 == tokens.size();
  }
  return false;
}

MathAnswer Scalar(const Formula& formula) {
  MathAnswer answer{Kind::kScalar};
  answer.values = Evaluate(formula);
  return answer;
}

class Reader {
 public:
  MathAnswer Read(Tokens tokens) {
    ++depth_;
    MathAnswer answer = depth_ > kMaxDepth ? MathAnswer{} : ReadKind(tokens);
    --depth_;
    answer.spelling = SpellingOf(tokens);
    return answer;
  }

 private:
  MathAnswer ReadKind(Tokens tokens) {
    if (const auto parts = SplitAt(tokens, PartsList); parts.size() > 1) return List(Kind::kSet, parts);
    if (const auto parts = SplitAt(tokens, "\\in"); parts.size() == 2) return Read(parts[1]);
    if (const auto parts = SplitAt(tokens, "="); parts.size() > 1) return Equation(parts);
    if (const auto parts = SplitAt(tokens, IsOrder); parts.size() > 1) return Inequality(parts);
    if (const auto parts = SplitAt(tokens, "\\cup"); parts.size() > 1) return List(Kind::kUnion, parts);
    if (IsWrapped(tokens)) {
      if (std::optional<MathAnswer> answer = Wrapped(tokens)) return std::move(*answer);
    }
    if (const auto parts = SplitAt(tokens, ":"); parts.size() > 1) {
      MathAnswer ratio = List(Kind::kTuple, parts);
      ratio.text = ":";
      return ratio;
    }
    if (std::optional<MathAnswer> based = Based(tokens)) return std::move(*based);
    if (std::optional<MathAnswer> scalar = WithUnit(tokens)) return std::move(*scalar);
    return {};
  }

  // A list whose parts are empty is none: "1," or ", and".
  MathAnswer List(Kind kind, const std::vector<Tokens>& parts) {
    MathAnswer list{kind};
    for (const Tokens part : parts) {
      if (!part.empty()) list.parts.push_back(Read(part));
    }
    return list;
  }

  std::optional<MathAnswer> Wrapped(Tokens tokens) {
    const Tokens inside = tokens.subspan(1, tokens.size() - 2);
    if (tokens.front().Is("\\{")) {
      if (inside.empty()) return MathAnswer{Kind::kSet};
      return List(Kind::kSet, SplitAt(inside, ","));
    }
    if (tokens.front().Is("[[")) return Matrix(inside);
    if (tokens.front().Is("{")) return Read(inside);
    const auto parts = SplitAt(inside, [](const LatexToken& t) { return t.Is(",") || t.Is(";"); });
    if (parts.size() == 1) {
      const bool holds_matrix = IsWrapped(inside) && inside.front().Is("[[");
      return holds_matrix ? std::optional(Read(inside)) : std::nullopt;
    }
    MathAnswer tuple = List(Kind::kTuple, parts);
    tuple.text = tokens.front().text + tokens.back().text;
    return tuple;
  }

  MathAnswer Matrix(Tokens inside) {
    std::vector<Tokens> rows = SplitAt(inside, "\\\\");
    if (rows.size() > 1 && rows.back().empty()) rows.pop_back();
    MathAnswer matrix{Kind::kMatrix};
    for (const Tokens row : rows) {
      for (const Tokens cell : SplitAt(row, "&")) matrix.parts.push_back(Read(cell));
    }
    const bool is_column = matrix.parts.size() == rows.size();
    matrix.text = is_column ? "column" : fmt::format("{} rows", rows.size());
    return matrix;
  }

  // A chain, a = b = c, says what its ends say.
  MathAnswer Equation(const std::vector<Tokens>& sides) {
    MathAnswer equation{Kind::kEquation};
    equation.parts = {Read(sides.front()), Read(sides.back())};
    if (IsName(sides.front())) equation.text = SpellingOf(sides.front());
    return equation;
  }

  // "x", "x_1", "f(3)", "(x, y)", "\text{Area}".
  static bool IsName(Tokens tokens) {
    if (tokens.empty()) return false;
    if (tokens[0].kind == TokenKind::kWord) return tokens.size() == 1;
    if (tokens[0].Is("(") && IsWrapped(tokens)) {
      return std::all_of(tokens.begin() + 1, tokens.end() - 1, [](const LatexToken& token) {
        return token.kind == TokenKind::kSymbol || token.Is(",");
      });
    }
    if (tokens[0].kind != TokenKind::kSymbol) return false;
    if (tokens.size() == 1) return true;
    if (tokens[1].Is("_")) return tokens.size() == 3 || (tokens[2].Is("{") && IsWrapped(tokens.subspan(2)));
    return tokens[1].Is("(") && IsWrapped(tokens.subspan(1));
  }

  // An inequality for one name is the interval that it says.
  MathAnswer Inequality(const std::vector<Tokens>& parts) {
    std::vector<const LatexToken*> signs;  // they stand between the parts
    for (size_t i = 0; i + 1 < parts.size(); ++i) signs.push_back(parts[i].data() + parts[i].size());
    const auto is_less = [](const LatexToken& sign) { return sign.text[0] == '<'; };
    const auto is_closed = [](const LatexToken& sign) { return sign.text.size() == 2; };
    if (parts.size() == 2 && IsName(parts[0])) {
      return is_less(*signs[0]) ? Interval({}, false, parts[1], is_closed(*signs[0]))
                                : Interval(parts[1], is_closed(*signs[0]), {}, false);
    }
    if (parts.size() == 2 && IsName(parts[1])) {
      return is_less(*signs[0]) ? Interval(parts[0], is_closed(*signs[0]), {}, false)
                                : Interval({}, false, parts[0], is_closed(*signs[0]));
    }
    if (parts.size() == 3 && IsName(parts[1]) && is_less(*signs[0]) == is_less(*signs[1])) {
      return is_less(*signs[0]) ? Interval(parts[0], is_closed(*signs[0]), parts[2], is_closed(*signs[1]))
                                : Interval(parts[2], is_closed(*signs[1]), parts[0], is_closed(*signs[0]));
    }
    return {};
  }

  // An empty bound is infinite.
  MathAnswer Interval(Tokens low, bool low_closed, Tokens high, bool high_closed) {
    static const std::vector<LatexToken> kMinusInfinity = LexLatex("-\\infty"),
                                         kInfinity = LexLatex("\\infty");
    MathAnswer interval{Kind::kTuple};
    interval.text = {low_closed ? '[' : '(', high_closed ? ']' : ')'};
    interval.parts = {Read(low.empty() ? Tokens(kMinusInfinity) : low),
                      Read(high.empty() ? Tokens(kInfinity) : high)};
    return interval;
  }

  // 204_5 or 204_{5}.
  static std::optional<MathAnswer> Based(Tokens tokens) {
    if (tokens.size() < 3 || tokens[0].kind != TokenKind::kNumber || !tokens[1].Is("_")) return {};
    const bool braced = tokens.size() == 5 && tokens[2].Is("{") && tokens[4].Is("}");
    if (!braced && tokens.size() != 3) return {};
    const LatexToken& base = tokens[braced ? 3 : 2];
    const std::string& digits = tokens[0].text;
    if (base.kind != TokenKind::kNumber || digits.find_first_not_of("0123456789") != digits.npos) return {};
    const size_t zeros = std::min(digits.find_first_not_of('0'), digits.size() - 1);
    return MathAnswer{Kind::kBased, digits.substr(zeros) + "_" + base.text};
  }

  // A formula, with what it is a number of before or behind it.
  static std::optional<MathAnswer> WithUnit(Tokens tokens) {
    const auto is_unit = [](const LatexToken& token) {
      return token.kind == TokenKind::kWord || token.kind == TokenKind::kUnit;
    };
    std::vector<LatexToken> all(tokens.begin(), tokens.end());
    std::string unit;
    for (size_t i = 0; i < std::min<size_t>(2, all.size()); ++i) {
      if (all[i].kind != TokenKind::kUnit || all[i].text != "dollar") continue;
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
      unit = "dollar";
    }
    std::optional<Formula> formula = ParseFormula(all);
    if (!formula || (!all.empty() && is_unit(all.back()))) {
      // The unit begins with the first word or sign of a unit that only such follow.
      const auto begin = std::find_if(all.begin(), all.end(), is_unit);
      const size_t length = static_cast<size_t>(begin - all.begin());
      const std::optional<std::string> behind = CanonicalUnit(Tokens(all).subspan(length));
      formula = ParseFormula(Tokens(all).first(length));
      if (!formula || !behind || (!unit.empty() && !behind->empty() && *behind != unit)) return {};
      if (unit.empty()) unit = *behind;
    }
    MathAnswer scalar = Scalar(*formula);
    scalar.unit = unit;
    return scalar;
  }

  int depth_ = 0;
};

bool IsPlusMinus(const LatexToken& token) {
  return token.Is("\\pm") || token.Is("\\mp");
}

// Both readings of every ± and ∓, as one set.
MathAnswer ReadPlusMinus(const std::vector<LatexToken>& tokens) {
  MathAnswer both{Kind::kSet};
  for (const bool plus : {true, false}) {
    std::vector<LatexToken> one = tokens;
    for (LatexToken& token : one) {
      if (IsPlusMinus(token)) token.text = (token.text == "\\pm") == plus ? "+" : "-";
    }
    const MathAnswer read = Reader().Read(one);
    const MathAnswer& answer = read.kind == Kind::kEquation ? read.parts[1] : read;
    if (answer.kind == Kind::kSet) {
      both.parts.insert(both.parts.end(), answer.parts.begin(), answer.parts.end());
    } else {
      both.parts.push_back(answer);
    }
  }
  return both;
}

}  // namespace

MathAnswer ReadMathAnswer(std::string_view text) {
  if (text.size() > kMaxBytes) return {.spelling = std::string(TrimBlanks(text))};
  const std::vector<LatexToken> tokens = LexLatex(text);
  MathAnswer answer =
      std::any_of(tokens.begin(), tokens.end(), IsPlusMinus) ? ReadPlusMinus(tokens) : Reader().Read(tokens);
  answer.spelling = SpellingOf(tokens);
  return answer;
}

std::string PlainWords(std::string_view text) {
  std::string words;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {  // a command, up to its brace or blank
      while (i + 1 < text.size() && std::isalpha(static_cast<unsigned char>(text[i + 1]))) ++i;
      words += ' ';
    } else if (c == '{' || c == '}' || c == '$' || c == ' ' || c == '~' || c == '\t' || c == '\n' ||
               c == '\r') {
      words += ' ';
    } else {
      words += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
  }
  std::string plain;
  for (const char c : words) {
    if (c != ' ' || (!plain.empty() && plain.back() != ' ')) plain += c;
  }
  const size_t begin = plain.find_first_not_of(" .(");
  if (begin == plain.npos) return {};
  return plain.substr(begin, plain.find_last_not_of(" .,)") - begin + 1);
}

}  // namespace fourstep
