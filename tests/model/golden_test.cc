// The tiny checkpoints on every backend of this machine against what they must answer (golden.h).
//
// Tolerances. A rounding to BF16 has a relative error of up to u = 2^-9 and, spread evenly, of u / sqrt(3) in
// the root mean square. Every part of the model writes a share of the residual stream, so an error enters the
// logits, which are of the normalised stream, with a weight of about its part's gain; scores with a standard
// deviation above 1 and the tiny models' random weights make it up to 3. Errors of R roundings add up in
// quadrature: 3 u sqrt(R / 3), relative to the logits.
//
// - the contract rounds 8 times a layer (norm, q|k|v, rotated, attended, residual, norm, gated, residual) and
//   once before the head: R = 17 for two layers;
// - transformers in BF16 rounds about 20 times a layer (each step of a norm, of the rotation and of SiLU;
//   scores, softmax, products before their residual), the last norm twice and the logits: R = 43.
//
// Under w4a4 these errors do not stay small: a last bit that moves a value over the border between two 4-bit
// codes moves it by a whole step, and after a few quantisers two runs that round at different places have
// made independent choices. They are then as far from each other as two independent quantisations, sqrt(2)
// times what quantising the activations costs, which the golden tells: the distance between w4a4 and w4a16 of
// the same weights. That is a loose bound by nature. What pins w4a4 down is the contract, followed exactly.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/model/golden.h"

namespace fourstep {
namespace {

constexpr double kUnit = 0x1p-9, kGain = 3;

double RoundingError(int num_roundings) {
  return kGain * kUnit * std::sqrt(num_roundings / 3.0);
}

const double kOurs = RoundingError(17), kTransformers = RoundingError(17 + 43);

struct Case {
  std::string name;
  Numerics numerics;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name << " " << NumericsName(c.numerics);
}

const std::vector<Case> kCases = {
    {"tiny-qwen3", Numerics::kBf16},        {"tiny-qwen2", Numerics::kBf16},
    {"tiny-llama", Numerics::kBf16},        {"tiny-qwen3-nvfp4", Numerics::kW4A4},
    {"tiny-qwen3-nvfp4", Numerics::kW4A16}, {"tiny-qwen2-nvfp4", Numerics::kW4A4},
    {"tiny-qwen2-nvfp4", Numerics::kW4A16}, {"tiny-llama-nvfp4", Numerics::kW4A4},
    {"tiny-llama-nvfp4", Numerics::kW4A16}, {"tiny-llama-nvfp4a16", Numerics::kW4A16},
};

std::string Key(const Case& c, const char* what) {
  return fmt::format("{}.{}", NumericsName(c.numerics), what);
}

double RootMeanSquare(const Logits& logits) {
  double sum = 0, count = 0;
  for (const std::vector<float>& row : logits) {
    for (const float x : row) sum += double{x} * x;
    count += static_cast<double>(row.size());
  }
  return std::sqrt(sum / count);
}

// The arg-max of each row, where the margin over the second best is above `margin`; else -1.
std::vector<ptrdiff_t> ClearBest(const Logits& logits, double margin) {
  std::vector<ptrdiff_t> best;
  for (std::vector<float> row : logits) {
    const auto at = std::ranges::max_element(row);
    const float first = *at;
    best.push_back(at - row.begin());
    *at = -INFINITY;
    if (first - *std::ranges::max_element(row) <= margin) best.back() = -1;
  }
  return best;
}

std::vector<std::vector<int32_t>> RandomPrompts(size_t count, size_t num_tokens) {
  PhiloxStream random(11);
  std::vector<std::vector<int32_t>> prompts(count);
  for (std::vector<int32_t>& prompt : prompts)
    for (size_t i = 0; i < num_tokens; ++i)
      prompt.push_back(static_cast<int32_t>(random.Between(0, kTinyTokenizerSize - 1)));
  return prompts;
}

class Goldens : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    prompt_ = golden_.Ints("prompt");
    rows_ = golden_.Ints("rows");
  }
  Logits Run(const std::string& backend) {
    TinyModel model(TinyCheckpoint(case_.name), backend, case_.numerics);
    return model.Run(prompt_, rows_, 64);
  }

  const Case& case_ = GetParam();
  Golden golden_{case_.name};
  std::vector<int32_t> prompt_, rows_;
};

INSTANTIATE_TEST_SUITE_P(Tiny, Goldens, testing::ValuesIn(kCases), [](const auto& test) {
  std::string name = fmt::format("{}_{}", test.param.name, NumericsName(test.param.numerics));
  std::ranges::replace(name, '-', '_');
  return name;
});

// The oracle in torch rounds where the reference does and computes in double as it does: what is left is the
// last bit of fp32 in the logits and in the frequencies of the rotary embedding.
TEST_P(Goldens, ReferenceFollowsTheContract) {
  EXPECT_LT(Measure(Run("reference"), golden_.Rows(Key(case_, "contract"))).relative, 1e-6);
}

// The CPU sums in fp32, the reference in double. Where a sum lies within its error (some 1e-7 of it) of a tie
// between two values of BF16 (2^-8 apart), they round apart: one value in ten thousand. Some 1,500 values
// feed into a row through its own position, so that one row in six has such a value; more than every second
// row would be another cause. All other rows are equal to the last bits of fp32. In a row that has one, the
// values after it differ by less than their rounding, but rounding turns a difference of d into one of sqrt(d
// u) in the mean, until the two have rounded independently: sqrt(2) of what rounding costs. Two logits closer
// than that change places: the best two of 320 are some 1 apart, a row's errors some 0.02: one row in fifty.
//
// Under w4a4 sums are of a few blocks, each exact, and a last bit is mostly lost in the next quantiser, so
// that few rows differ; those do by up to a quantisation.
TEST_P(Goldens, CpuFollowsTheReference) {
  constexpr size_t kNumPrompts = 4;
  const std::vector<std::vector<int32_t>> prompts = RandomPrompts(kNumPrompts, prompt_.size());
  std::vector<int32_t> all_rows(prompt_.size());
  std::iota(all_rows.begin(), all_rows.end(), 0);
  const auto run = [&](const std::string& backend) {
    TinyModel model(TinyCheckpoint(case_.name), backend, case_.numerics);
    Logits logits;
    for (const std::vector<int32_t>& prompt : prompts)
      for (std::vector<float>& row : model.Run(prompt, all_rows, 64)) logits.push_back(std::move(row));
    return logits;
  };
  const Logits expected = run("reference");
  for (const std::string& backend : BackendsHere()) {
    if (backend == "reference") continue;
    const Logits got = run(backend);
    const Distance d = Measure(got, expected);
    double num_far = 0;
    for (size_t r = 0; r < got.size(); ++r)
      num_far += Measure({got[r]}, {expected[r]}).relative > 1e-6 ? 1 : 0;
    const double share_far = num_far / static_cast<double>(got.size());
    fmt::print("  {}: relative {:.5f} to the reference, {:.4f} of {} rows not equal in fp32; best {:.4f}\n",
               backend, d.relative, share_far, got.size(), d.same_best);
    const bool is_w4a4 = case_.numerics == Numerics::kW4A4;
    EXPECT_LT(share_far, is_w4a4 ? 0.1 : 0.5) << backend;
    EXPECT_LE(d.relative, std::sqrt(2 * share_far) * (is_w4a4 ? 0.35 : kOurs) + 1e-6) << backend;
    EXPECT_GE(d.same_best, is_w4a4 ? 1 - share_far : 0.98) << backend;
  }
}

TEST_P(Goldens, CloseToTransformers) {
  const Logits exact = golden_.Rows(Key(case_, "exact")), theirs = golden_.Rows(Key(case_, "transformers"));
  double ours_to_exact = kOurs, ours_to_theirs = kTransformers;
  if (case_.numerics == Numerics::kW4A4) {
    const double cost = Measure(exact, golden_.Rows("w4a16.exact")).relative;
    ours_to_exact = ours_to_theirs = std::sqrt(2.0) * cost;
  }
  for (const std::string& backend : BackendsHere()) {
    const Logits got = Run(backend);
    const Distance to_exact = Measure(got, exact), to_theirs = Measure(got, theirs);
    EXPECT_LT(to_exact.relative, ours_to_exact) << backend;
    EXPECT_LT(to_theirs.relative, ours_to_theirs) << backend;
    fmt::print(
        "  {}: relative {:.5f} to transformers in double, {:.5f} in BF16 (at most {:.5f}, {:.5f}); best {}\n",
        backend, to_exact.relative, to_theirs.relative, ours_to_exact, ours_to_theirs, to_theirs.same_best);
    if (case_.numerics == Numerics::kW4A4) continue;
    // The bound is of a standard deviation: six of them are out of reach of chance for a logit, and the
    // margin of two logits errs by sqrt(2) of one, so that four of one are three of it.
    const double deviation = kTransformers * RootMeanSquare(exact);
    EXPECT_LT(to_theirs.largest, 6 * deviation) << backend;
    const std::vector<ptrdiff_t> best = ClearBest(theirs, 4 * deviation);
    for (size_t r = 0; r < got.size(); ++r) {
      if (best[r] < 0) continue;
      EXPECT_EQ(std::ranges::max_element(got[r]) - got[r].begin(), best[r]) << backend << " row " << rows_[r];
    }
    EXPECT_LT(std::ranges::count(best, -1), std::ssize(best)) << "no row has a clear best";
  }
}

// Rounding at fewer places is the point of fused operations. (Under w4a4 both are as far as they can be.)
TEST_P(Goldens, CloserToExactThanTransformers) {
  if (case_.numerics == Numerics::kW4A4) return;
  const Logits exact = golden_.Rows(Key(case_, "exact"));
  EXPECT_LT(Measure(Run("reference"), exact).relative,
            Measure(golden_.Rows(Key(case_, "transformers")), exact).relative);
}

// The maker of the goldens picked BF16 models whose every margin is above 0.3, and saw transformers in BF16
// go on with the same tokens. Elsewhere a token follows from the margins up to the first that is small.
TEST_P(Goldens, GreedyContinuations) {
  const std::vector<int32_t> expected = golden_.Ints(Key(case_, "continuation"));
  const std::vector<float> margins = golden_.Rows(Key(case_, "margins"))[0];
  for (const std::string& backend : BackendsHere()) {
    TinyModel model(TinyCheckpoint(case_.name), backend, case_.numerics);
    const std::vector<int32_t> got = model.Continue(prompt_, expected.size());
    size_t num_clear = expected.size();
    if (backend != "reference")
      num_clear = static_cast<size_t>(std::ranges::find_if(margins, [](float m) { return m < 0.1; }) -
                                      margins.begin());
    EXPECT_TRUE(std::equal(got.begin(), got.begin() + static_cast<ptrdiff_t>(num_clear), expected.begin()))
        << backend;
    if (case_.numerics == Numerics::kBf16) {
      EXPECT_EQ(num_clear, expected.size());
    }
  }
}

// One token a step, chunks and the whole prompt: the same logits, bit for bit.
TEST_P(Goldens, ChunksDoNotMatter) {
  for (const std::string& backend : BackendsHere()) {
    TinyModel model(TinyCheckpoint(case_.name), backend, case_.numerics);
    const Logits whole = model.Run(prompt_, rows_, 64);
    for (const int32_t chunk : {1, 7, 16}) EXPECT_EQ(model.Run(prompt_, rows_, chunk), whole) << backend;
  }
}

}  // namespace
}  // namespace fourstep
