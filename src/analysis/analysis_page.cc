#include "analysis/analysis_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/utf8.h"

namespace fourstep {
namespace {

constexpr size_t kMaxSvgBytes = size_t{16} << 20;
constexpr size_t kShownAnswers = 4;

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>What quantisation did</title>
<style>
body { font: 15px/1.45 Helvetica, Arial, sans-serif; max-width: 80em; margin: 2em auto; padding: 0 1em; color: #222; }
pre.table { font: 12px/1.4 monospace; overflow-x: auto; background: #f6f6f6; padding: 1em; }
figure { display: inline-block; margin: 0.5em; } img { width: 38em; max-width: 100%; }
.answer { font: 13px/1.6 monospace; white-space: pre-wrap; border: 1px solid #ccc; padding: 1em; }
.hot { background: #fbd38d; border-bottom: 2px solid #b45309; } .cold { background: #bfdbfe; }
</style></head><body>
)";

// A picture within the page. Its own file names its parts, which would clash if several stood in one page as
// they are.
std::string InlineSvg(std::string_view svg) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string url = "data:image/svg+xml,";
  for (const char c : svg) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          std::string_view("-_.~/:=,;()+* ").find(c) != std::string_view::npos;
    if (is_plain) {
      url += c;
    } else {
      url += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return url;
}

// Bytes of a character may be spread over tokens: those that are not whole are shown as U+FFFD.
std::string TintedAnswer(const TracedAnswer& answer, const Tokenizer& tokenizer) {
  const auto [lowest, highest] = std::minmax_element(answer.temperatures.begin(), answer.temperatures.end());
  std::string html;
  for (size_t i = 0; i < answer.tokens.size(); ++i) {
    const std::string text = HtmlText(ReplaceInvalidUtf8(tokenizer.TokenBytes(answer.tokens[i])));
    const float temperature = answer.temperatures[i];
    const char* tint = *lowest == *highest       ? ""
                       : temperature == *highest ? "hot"
                       : temperature == *lowest  ? "cold"
                                                 : "";
    html += fmt::format("<span class=\"{}\" title=\"entropy {:.3f}, T {:g}\">{}</span>", tint,
                        answer.entropies[i], temperature, text);
  }
  return html;
}

std::string Answers(const ModelAnalysis& analysis, const Tokenizer& tokenizer) {
  std::string html =
      "<h2>Answers under ReSET</h2>\n<p><span class=\"hot\">drawn at T_high</span>, "
      "<span class=\"cold\">drawn at T_low</span>; point at a token for its entropy.</p>\n";
  const std::vector<TracedAnswer>& answers = analysis.reset.answers;
  for (size_t i = 0; i < std::min(answers.size(), kShownAnswers); ++i) {
    html += fmt::format("<h3>{} ({})</h3>\n<div class=\"answer\">{}</div>\n", HtmlText(answers[i].problem),
                        answers[i].is_right ? "right" : "wrong", TintedAnswer(answers[i], tokenizer));
  }
  return html;
}

}  // namespace

std::string HtmlText(std::string_view text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      default:
        // Other control characters are not allowed in HTML.
        html += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return html;
}

std::string AnalysisPage(const ModelAnalysis& analysis, const Tokenizer& tokenizer,
                         const std::vector<Chart>& charts, const std::filesystem::path& folder) {
  std::string page(kHead);
  page += "<h1>What quantisation did</h1>\n<h2>Figures</h2>\n<pre class=\"table\">" +
          HtmlText(AnalysisText(analysis)) + "</pre>\n<h2>Charts</h2>\n";
  for (const Chart& chart : charts) {
    const std::filesystem::path svg = folder / (chart.file + ".svg");
    std::error_code ignored;
    if (!std::filesystem::exists(svg, ignored)) continue;
    page += fmt::format("<figure><img alt=\"{}\" src=\"{}\"></figure>\n", HtmlText(chart.title),
                        InlineSvg(ReadFile(svg, kMaxSvgBytes)));
  }
  return page + Answers(analysis, tokenizer) + "</body></html>\n";
}

}  // namespace fourstep
