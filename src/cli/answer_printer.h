// An answer as people read it, while it is being written: its text, its steps, or every token.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "fourstep/engine.h"

namespace fourstep::cli {

enum class Show {
  kAnswer,  // what comes after the thinking
  kText,    // the thinking too, set apart
  kSteps,   // every token coloured by its temperature, and a line after each step
  kAll,     // a line a token, with all that the policy saw and the tokens that might have come
};

// "answer", "text", "steps", "all"; throws Error for anything else.
Show ParseShow(std::string_view name);

class AnswerPrinter {
 public:
  struct Style {
    Show show = Show::kText;
    bool has_colours = false;
    bool escapes_controls = true;  // text goes to a terminal
  };

  // Everything goes to `write`, in pieces that may be shown at once.
  AnswerPrinter(const Style& style, std::function<void(std::string_view)> write);

  void Print(const Event& event);

  // After the last event, or in the middle of an answer: ends the line, restores the colours. Without a call
  // of Print before it, it writes nothing.
  void Finish();

 private:
  struct StepTotals {
    int32_t index = 0, tokens = 0, uncertain_tokens = 0;
    double entropy = 0;                           // sum, nats
    float threshold_low = 0, threshold_high = 0;  // nats; 0 where the policy has none
    float temperature_low = 0, temperature_high = 0;
    float mean_entropy = 0;  // of the answer before the step's last token
  };

  void PrintText(const Event& event);
  void PrintInSteps(const Event& event);
  void PrintRow(const Event& event);
  void PrintHeader(const Event& first);
  void PrintStepLine();
  void AddToStep(const Event& event);
  // Newlines at the end of `text` are kept back until more text follows: what comes between (the line of a
  // step, the end) decides how many are shown.
  void WriteText(std::string_view text, std::string_view colour, std::string_view mark_begin = "",
                 std::string_view mark_end = "");
  void Write(std::string_view text);

  Style style_;
  std::function<void(std::string_view)> write_;
  bool has_begun_ = false;
  bool is_at_line_start_ = true;
  int held_newlines_ = 0;
  enum class Part { kNone, kThinking, kAnswer } part_ = Part::kNone;
  StepTotals step_;
};

}  // namespace fourstep::cli
