// Calibration: how a text becomes sequences, and what is measured while the model reads them.
#include "quantize/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "formats/bfloat16.h"
#include "reference/reference_backend.h"
#include "tests/quantize/edited_checkpoint.h"
#include "tests/quantize/one_step.h"

namespace fourstep {
namespace {

using testing::HasSubstr;

Tokenizer TinyTokenizer(const char* name) {
  return Tokenizer::Load(std::filesystem::path(FOURSTEP_SOURCE_DIR) / "tests/checkpoint/data" / name);
}

int64_t TotalTokens(const CalibrationSequences& sequences) {
  int64_t total = 0;
  for (const auto& sequence : sequences) total += static_cast<int64_t>(sequence.size());
  return total;
}

TEST(CalibrationText, IsCutIntoSequences) {
  const Tokenizer tokenizer = TinyTokenizer("tiny");
  const std::string text(BuiltInCalibrationText());
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  for (const int64_t sequence_tokens : {1, 7, 100, 1000000}) {
    for (const int64_t max_tokens : {int64_t{1}, int64_t{7}, int64_t{150}, int64_t{1} << 20}) {
      const CalibrationSequences sequences =
          TokenizeCalibrationText(tokenizer, text, max_tokens, sequence_tokens);
      std::vector<int32_t> joined;
      for (size_t i = 0; i < sequences.size(); ++i) {
        const auto size = static_cast<int64_t>(sequences[i].size());
        EXPECT_TRUE(size == sequence_tokens ||
                    (i + 1 == sequences.size() && size > 0 && size < sequence_tokens));
        joined.insert(joined.end(), sequences[i].begin(), sequences[i].end());
      }
      ASSERT_EQ(static_cast<int64_t>(joined.size()), std::min<int64_t>(max_tokens, std::ssize(ids)));
      EXPECT_TRUE(std::equal(joined.begin(), joined.end(), ids.begin()));
    }
  }
}

// What stands before every text of a Llama stands before every sequence.
TEST(CalibrationText, StartsEverySequenceAsTextsStart) {
  const Tokenizer tokenizer = TinyTokenizer("tiny_llama3");
  const std::vector<int32_t> prefix = tokenizer.Encode("", {.add_special_tokens = true});
  ASSERT_EQ(prefix.size(), 1u);
  const std::string text = "Wait, so the answer is 3.\n\nNo, it is 4. One two three four five six seven.";
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  const CalibrationSequences sequences = TokenizeCalibrationText(tokenizer, text, 1000, 9);
  std::vector<int32_t> joined;
  for (const auto& sequence : sequences) {
    EXPECT_LE(sequence.size(), 9u);
    EXPECT_EQ(sequence.front(), prefix[0]);
    joined.insert(joined.end(), sequence.begin() + 1, sequence.end());
  }
  EXPECT_EQ(joined, ids);
  // The budget counts them, and a budget of one leaves no room for them.
  EXPECT_EQ(TotalTokens(TokenizeCalibrationText(tokenizer, text, 19, 9)),
            18);  // 9 + 9, not 9 + 9 + prefix alone
  EXPECT_EQ(TokenizeCalibrationText(tokenizer, text, 1, 9), CalibrationSequences{{ids[0]}});
  EXPECT_EQ(TokenizeCalibrationText(tokenizer, text, 2, 1), (CalibrationSequences{{ids[0]}, {ids[1]}}));
}

TEST(CalibrationText, MustNotBeEmpty) {
  EXPECT_THROW(TokenizeCalibrationText(TinyTokenizer("tiny"), "", 10, 10), Error);
}

TEST(CalibrationText, HasWhatReasoningHas) {
  const std::string_view text = BuiltInCalibrationText();
  for (const char* part : {"\n\n", "<think>\n", "</think>\n", "Wait, ", "```python\n", "\\boxed{"})
    EXPECT_THAT(text, HasSubstr(part));
}

// --- Measuring

std::map<std::string, float> Measure(Checkpoint& source, const CalibrationSequences& sequences) {
  return MeasureInputAmax(source, sequences, 1, [](const std::string&) {});
}

// Reads one sequence in one step on the reference backend.
class ReferenceAmax final : public LinearObserver {
 public:
  explicit ReferenceAmax(Backend& backend) : backend_(backend) {}
  void Observe(std::span<const std::string> modules, ActivationId input) override {
    for (const float x : backend_.ReadActivation(input)) {
      for (const std::string& module : modules) amax[module] = std::max(amax[module], std::fabs(x));
    }
  }
  std::map<std::string, float> amax;

 private:
  Backend& backend_;
};

std::map<std::string, float> MeasureByReference(Checkpoint& source, const std::vector<int32_t>& tokens) {
  const auto num_tokens = static_cast<int32_t>(tokens.size());
  const auto backend = MakeReferenceBackend({.max_rows = num_tokens});
  OneStepModel model(source, *backend, num_tokens);
  ReferenceAmax observer(*backend);
  model.Read(tokens, {}, &observer);
  return observer.amax;
}

std::vector<int32_t> SomeTokens(size_t count, int32_t first) {
  std::vector<int32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = (first + static_cast<int32_t>(i * i % 251)) % 300;
  return tokens;
}

// 300 tokens are two steps here and one there; a BF16 model's activations differ by a few roundings (2^-9
// each, growing with depth), and so do their maxima.
TEST(MeasureInputAmax, IsWhatTheReferenceSees) {
  for (const char* name : {"tiny-qwen3", "tiny-qwen2", "tiny-llama"}) {
    Checkpoint source = Checkpoint::Open(TinyCheckpoint(name));
    const std::vector<int32_t> tokens = SomeTokens(300, 5);
    const std::map<std::string, float> measured = Measure(source, {tokens});
    const std::map<std::string, float> expected = MeasureByReference(source, tokens);
    ASSERT_EQ(measured.size(), 15u) << name;  // the head too
    ASSERT_EQ(expected.size(), 15u) << name;
    for (const auto& [module, amax] : expected)
      EXPECT_NEAR(measured.at(module), amax, 0.04 * amax) << name << ": " << module;
  }
}

// The input of the first layer is the norm of a token's row of the table: computed by hand.
TEST(MeasureInputAmax, OfTheFirstLayerIsThatOfItsNorm) {
  Checkpoint source = Checkpoint::Open(TinyCheckpoint("tiny-qwen3"));
  const OwnedTensors tensors = ReadTensors(TinyCheckpoint("tiny-qwen3"));
  const OwnedTensor& table = tensors.at("model.embed_tokens.weight");
  const OwnedTensor& norm = tensors.at("model.layers.0.input_layernorm.weight");
  const auto hidden = static_cast<size_t>(table.shape[1]);
  const auto amax_of = [&](int32_t token) {
    double squares = 0;
    for (size_t i = 0; i < hidden; ++i)
      squares += std::pow(Bf16At(table, static_cast<size_t>(token) * hidden + i), 2);
    const double rms = std::sqrt(squares / static_cast<double>(hidden) + source.config().rms_norm_epsilon);
    double amax = 0;
    for (size_t i = 0; i < hidden; ++i) {
      const double x = Bf16At(table, static_cast<size_t>(token) * hidden + i) / rms * Bf16At(norm, i);
      amax = std::max(amax, std::fabs(x));
    }
    return amax;
  };
  const CalibrationSequences sequences = {{3, 14, 15}, {92, 65}, {35}};
  double expected = 0;
  for (const auto& sequence : sequences) {
    for (const int32_t token : sequence) expected = std::max(expected, amax_of(token));
  }
  const std::map<std::string, float> measured = Measure(source, sequences);
  for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
    // One rounding to BF16: half an ulp, 2^-9 relative at most.
    EXPECT_NEAR(measured.at(std::string("model.layers.0.self_attn.") + name), expected, expected * 0x1p-8);
  }
}

// Sequences do not see each other, and the maximum is over all of them.
TEST(MeasureInputAmax, IsTheMaximumOverSequences) {
  Checkpoint source = Checkpoint::Open(TinyCheckpoint("tiny-llama"));
  const CalibrationSequences sequences = {SomeTokens(20, 1), SomeTokens(33, 77), SomeTokens(5, 200)};
  const std::map<std::string, float> together = Measure(source, sequences);
  std::map<std::string, float> apart;
  for (const auto& sequence : sequences) {
    for (const auto& [module, amax] : Measure(source, {sequence}))
      apart[module] = std::max(apart[module], amax);
  }
  EXPECT_EQ(together, apart);
}

TEST(MeasureInputAmax, ReportsProgressAsAnnounced) {
  Checkpoint source = Checkpoint::Open(TinyCheckpoint("tiny-llama"));
  const CalibrationSequences sequences = {SomeTokens(300, 1), SomeTokens(256, 2), SomeTokens(1, 3)};
  EXPECT_EQ(CalibrationSteps(sequences), 2 + 1 + 1);
  int64_t calls = 0;
  MeasureInputAmax(source, sequences, 1, [&](const std::string&) { ++calls; });
  EXPECT_EQ(calls, CalibrationSteps(sequences) * (2 * 4 + 1));  // layers, groups of linears; the head
}

TEST(MeasureInputAmax, RefusesTokensThatTheModelHasNot) {
  Checkpoint source = Checkpoint::Open(TinyCheckpoint("tiny-llama"));
  EXPECT_THROW(Measure(source, {{0, 320}}), Error);
  EXPECT_THROW(Measure(source, {{-1}}), Error);
}

}  // namespace
}  // namespace fourstep
