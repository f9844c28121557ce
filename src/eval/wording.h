// Harmless variety of words in the traces that the default model learns from.
//
// Why: a reasoner whose text is fully determined has an 80th-percentile token entropy near zero, and an
// entropy-gated policy then has nothing to gate on. Real models choose their words; so do these traces. The
// weights of a choice are unequal and differ from choice to choice, so that no entropy value is common to
// many tokens.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/philox.h"

namespace fourstep {

// A sentence with choices and slots: "[Now|Next|Then] take {0}[.|!]". An alternative may be empty.
// Alternatives of one choice should begin with different tokens, so that a choice costs one token's entropy.
// Alternative i has a weight proportional to exp(-steepness * i). The steepness stands before the bracket's
// end, "[so|then~1.2]"; where it does not, a hash of the choice picks it from 0.7..1.7.
class Wording {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): tables of wordings are written as plain strings.
  Wording(std::string_view pattern);
  Wording(const char* pattern) : Wording(std::string_view(pattern)) {}

  struct Part {
    std::string text = {};                       // fixed text, where there are no alternatives and no slot
    int slot = -1;                               // index of the value that stands here
    std::vector<std::string> alternatives = {};  // [2..]
    std::vector<double> cumulative = {};         // [alternatives] of the weights, the last is 1
    double entropy = 0;                          // nats
  };
  const std::vector<Part>& parts() const { return parts_; }

 private:
  std::vector<Part> parts_;
};

// Writes a text by wordings and random draws, and remembers where it chose.
class Writer {
 public:
  struct Choice {
    size_t offset_bytes;  // of the first byte that depends on the choice
    double entropy;       // nats, of that byte given what stands before it
  };

  // `record_choices` costs time and is for measuring only.
  explicit Writer(PhiloxStream& random, bool record_choices = false)
      : random_(random), record_choices_(record_choices) {}

  void Say(const Wording& wording, std::initializer_list<std::string_view> slots = {});
  void Text(std::string_view text) { text_ += text; }

  // Writes one of `options`, drawn by `weights` (both [options], weights positive), and returns its index: a
  // decision of the reasoning, not of its words.
  size_t Decide(std::span<const std::string> options, std::span<const double> weights);

  // Forgets everything written since the text had `length_bytes` bytes.
  void Rewind(size_t length_bytes);

  PhiloxStream& random() { return random_; }
  const std::string& text() const { return text_; }
  const std::vector<Choice>& choices() const { return choices_; }

 private:
  void RecordDecision(std::span<const std::string> options, std::span<const double> weights, size_t chosen);

  PhiloxStream& random_;
  bool record_choices_;
  std::string text_;
  std::vector<Choice> choices_;
};

}  // namespace fourstep
