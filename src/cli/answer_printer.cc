#include "cli/answer_printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "cli/terminal.h"

namespace fourstep::cli {
namespace {

constexpr std::string_view kReset = "\x1b[0m", kDim = "\x1b[2m";

// Of the 256 colours: blue, teal, green, olive, orange, red, of middle lightness, so that they can be read on
// dark and on light. Temperature 0 is the first, 1 and above the last.
constexpr std::array<int, 8> kColours = {33, 37, 35, 70, 142, 172, 202, 196};

std::string ColourCode(size_t index) {
  return fmt::format("\x1b[38;5;{}m", kColours[index]);
}

std::string TemperatureColour(float temperature) {
  const float scaled = temperature * static_cast<float>(kColours.size());
  if (!(scaled > 0)) return ColourCode(0);
  return ColourCode(static_cast<size_t>(std::min(scaled, static_cast<float>(kColours.size() - 1))));
}

// Policies without a threshold have 0.
bool IsUncertain(const Event& event) {
  return event.threshold > 0 && event.entropy >= event.threshold;
}

bool IsThinkingTag(std::string_view text) {
  return text == "<think>" || text == "</think>";
}

// "0.55", or "0.55 to 0.71" where they differ as shown.
std::string RangeText(float low, float high) {
  const std::string from = fmt::format("{:.2f}", low), to = fmt::format("{:.2f}", high);
  return from == to ? from : from + " to " + to;
}

// Code points, which is what most terminals show a column for; padded to `width`, or cut with "…".
std::string Fit(std::string_view text, size_t width) {
  std::string out;
  size_t columns = 0;
  while (!text.empty()) {
    const size_t length_bytes = std::max<size_t>(Utf8Length(text), 1);
    if (columns + 1 == width && length_bytes < text.size()) {
      out += "…";
      ++columns;
      break;
    }
    out += text.substr(0, length_bytes);
    ++columns;
    text.remove_prefix(length_bytes);
  }
  return out + std::string(width - std::min(width, columns), ' ');
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : WithoutControls(text)) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

Show ParseShow(std::string_view name) {
  if (name == "answer") return Show::kAnswer;
  if (name == "text") return Show::kText;
  if (name == "steps") return Show::kSteps;
  if (name == "all") return Show::kAll;
  throw Errorf("--show", "\"{}\" is not one of answer, text, steps, all", Printable(name));
}

AnswerPrinter::AnswerPrinter(const Style& style, std::function<void(std::string_view)> write)
    : style_(style), write_(std::move(write)) {}

void AnswerPrinter::Print(const Event& event) {
  if (!has_begun_) {
    has_begun_ = true;
    PrintHeader(event);
  }
  switch (style_.show) {
    case Show::kAnswer:
    case Show::kText:
      PrintText(event);
      break;
    case Show::kSteps:
      PrintInSteps(event);
      break;
    case Show::kAll:
      PrintRow(event);
      break;
  }
}

void AnswerPrinter::Finish() {
  if (!has_begun_) return;
  if (style_.show == Show::kSteps) PrintStepLine();
  held_newlines_ = 0;
  if (!is_at_line_start_) Write("\n");
  if (style_.has_colours) Write(kReset);
}

void AnswerPrinter::PrintHeader(const Event& first) {
  if (style_.show == Show::kSteps) {
    if (style_.has_colours) {
      std::string legend = Dim("temperature 0 ", true);
      for (size_t i = 0; i < kColours.size(); ++i) legend += ColourCode(i) + "■";
      Write(fmt::format("{}{}{}\n\n", legend, kReset, Dim(" 1 and above", true)));
    } else if (first.threshold > 0) {
      Write("‹ › stand around tokens that the policy holds for uncertain\n\n");
    }
  }
  if (style_.show == Show::kAll) {
    Write(Dim(fmt::format("{:>5} {:>4}  {} {:>8} {:>8} {:>8} {:>9} {:>6} {:>8}", "token", "step",
                          Fit("text", 16), "entropy", "of step", "mean", "threshold", "temp", "logprob"),
              style_.has_colours) +
          "\n");
  }
}

void AnswerPrinter::PrintText(const Event& event) {
  const Part part = event.is_reasoning ? Part::kThinking : Part::kAnswer;
  if (event.text.empty() || (event.is_reasoning && IsThinkingTag(event.text))) return;
  if (part == Part::kThinking && style_.show == Show::kAnswer) return;
  std::string_view text = event.text;
  if (part != part_) {
    // Parts are set apart here, whatever blank lines the model puts between them.
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    if (text.empty()) return;
    held_newlines_ = 0;
    if (!is_at_line_start_) Write("\n");
    if (part == Part::kThinking) Write(Dim("thinking:", style_.has_colours) + "\n");
    if (part == Part::kAnswer && part_ == Part::kThinking) {
      Write(style_.has_colours ? "\n" : "\nanswer:\n");
    }
    part_ = part;
  }
  WriteText(text, part == Part::kThinking ? kDim : "");
}

void AnswerPrinter::PrintInSteps(const Event& event) {
  if (event.token < 0) return;  // only says that the answer was stopped
  if (event.step != step_.index) PrintStepLine();
  AddToStep(event);
  const bool is_marked = !style_.has_colours && IsUncertain(event);
  WriteText(event.text, TemperatureColour(event.temperature), is_marked ? "‹" : "", is_marked ? "›" : "");
}

void AnswerPrinter::AddToStep(const Event& event) {
  StepTotals& s = step_;
  if (s.tokens == 0) {
    s = {.index = event.step,
         .threshold_low = event.threshold,
         .threshold_high = event.threshold,
         .temperature_low = event.temperature,
         .temperature_high = event.temperature};
  }
  ++s.tokens;
  s.uncertain_tokens += IsUncertain(event) ? 1 : 0;
  s.entropy += event.entropy;
  s.threshold_low = std::min(s.threshold_low, event.threshold);
  s.threshold_high = std::max(s.threshold_high, event.threshold);
  s.temperature_low = std::min(s.temperature_low, event.temperature);
  s.temperature_high = std::max(s.temperature_high, event.temperature);
  s.mean_entropy = event.mean_entropy;
}

void AnswerPrinter::PrintStepLine() {
  const StepTotals& s = step_;
  if (s.tokens == 0) return;
  held_newlines_ = 0;
  if (!is_at_line_start_) Write("\n");
  std::string line = fmt::format("── step {}: {} token{}, mean entropy {:.2f} (so far {:.2f})", s.index + 1,
                                 s.tokens, s.tokens == 1 ? "" : "s", s.entropy / s.tokens, s.mean_entropy);
  if (s.threshold_high > 0) {
    line += fmt::format(", threshold {}, {:.0f} % at high temperature",
                        RangeText(s.threshold_low, s.threshold_high), 100.0 * s.uncertain_tokens / s.tokens);
  } else {
    line += fmt::format(", temperature {}", RangeText(s.temperature_low, s.temperature_high));
  }
  Write(Dim(line, style_.has_colours) + "\n\n");
  step_ = {};
}

void AnswerPrinter::PrintRow(const Event& event) {
  if (event.token < 0) return;
  std::string text = Fit(Quoted(event.text), 16);
  std::string temperature = fmt::format("{:>6.2f}", event.temperature);
  if (style_.has_colours) {
    const std::string colour = TemperatureColour(event.temperature);
    text = fmt::format("{}{}{}", colour, text, kReset);
    temperature = fmt::format("{}{}{}", colour, temperature, kReset);
  }
  std::string line = fmt::format("{:>5} {:>4}  {} {:>8.3f} {:>8.3f} {:>8.3f} {:>9.3f} {} {:>8.3f}",
                                 event.position, event.step + 1, text, event.entropy, event.step_entropy,
                                 event.mean_entropy, event.threshold, temperature, event.logprob);
  for (const TopLogprob& top : event.top_logprobs)
    line += fmt::format("  {} {:.3f}", Quoted(top.text), top.logprob);
  Write(line + "\n");
}

void AnswerPrinter::WriteText(std::string_view text, std::string_view colour, std::string_view mark_begin,
                              std::string_view mark_end) {
  const size_t end = text.find_last_not_of('\n') == text.npos ? 0 : text.find_last_not_of('\n') + 1;
  const auto trailing_newlines = static_cast<int>(text.size() - end);
  text = text.substr(0, end);
  if (!text.empty()) {
    std::string out(static_cast<size_t>(held_newlines_), '\n');
    held_newlines_ = 0;
    const size_t begin = std::min(text.find_first_not_of(" \n\t"), text.size());
    out += text.substr(0, begin);
    text.remove_prefix(begin);
    if (!text.empty()) {
      if (style_.has_colours) out += colour;
      out += mark_begin;
      out += style_.escapes_controls ? WithoutControls(text) : std::string(text);
      out += mark_end;
      if (style_.has_colours && !colour.empty()) out += kReset;
    }
    Write(out);
  }
  held_newlines_ += trailing_newlines;
}

void AnswerPrinter::Write(std::string_view text) {
  if (text.empty()) return;
  write_(text);
  is_at_line_start_ = text.ends_with('\n');
}

}  // namespace fourstep::cli
