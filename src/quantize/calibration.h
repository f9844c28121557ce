// Calibration: a dense model reads a text, and the largest magnitude at the input of every linear is kept.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tokenizer.h"

namespace fourstep {

// English, arithmetic, code and reasoning: about 2,400 tokens.
std::string_view BuiltInCalibrationText();

// Token ids of sequences that the model reads one after the other, each from an empty context.
using CalibrationSequences = std::vector<std::vector<int32_t>>;

// Cuts `text` into sequences of at most `sequence_tokens`, at most `max_tokens` (>= 1) in all. What the
// tokenizer puts before a text (bos) stands before every sequence, as in use. Throws Error where the text has
// no tokens.
CalibrationSequences TokenizeCalibrationText(const Tokenizer& tokenizer, std::string_view text,
                                             int64_t max_tokens, int64_t sequence_tokens);

// max |input| by module. Runs the model in BF16 on the CPU. Throws Error: a token that the model does not
// have, an input that is NaN or infinite (naming the module). `progress(module)` after every linear.
std::map<std::string, float> MeasureInputAmax(Checkpoint& source, const CalibrationSequences& sequences,
                                              int num_threads,
                                              const std::function<void(const std::string&)>& progress);

// How often MeasureInputAmax calls progress for one stack of linears.
int64_t CalibrationSteps(const CalibrationSequences& sequences);

}  // namespace fourstep
