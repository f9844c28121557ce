// From a dense checkpoint to logits of the quantised one, against goldens that torch made on its own from
// the same dense checkpoint (tools/make_model_goldens.py).
#include <gtest/gtest.h>

#include "quantize/quantize.h"
#include "tests/model/golden.h"
#include "tests/quantize/edited_checkpoint.h"

namespace fourstep {
namespace {

struct Case {
  const char *source, *golden;
  Dialect dialect;
};
constexpr Case kCases[] = {{"tiny-qwen3", "tiny-qwen3-nvfp4", Dialect::kModelOpt},
                           {"tiny-qwen2", "tiny-qwen2-nvfp4", Dialect::kCompressedTensors}};

Logits Answer(const std::filesystem::path& folder, const std::string& backend,
              std::optional<Numerics> numerics, const Golden& golden, Numerics expected) {
  TinyModel model(folder, backend, numerics);
  EXPECT_EQ(model.model().numerics(), expected);
  return model.Run(golden.Ints("prompt"), golden.Ints("rows"), 64);
}

// The weights are the golden's, bit for bit, so the logits are its logits up to rounding. How much rounding
// may do, two golden computations of the same model say that round at different places: transformers in BF16,
// and the contract.
TEST(QuantizedModel, GivesTheGoldenLogitsInW4A16) {
  for (const Case& c : kCases) {
    const TempFolder folder;
    QuantizeOptions options;
    options.dialect = c.dialect;
    options.weights_only = true;
    options.num_threads = 1;
    Quantize(TinyCheckpoint(c.source), folder / "out", options, {});
    const Golden golden(c.golden);
    const Logits contract = golden.Rows("w4a16.contract");
    const double rounding = Measure(golden.Rows("w4a16.transformers"), contract).relative;
    for (const std::string& backend : BackendsHere()) {
      const Logits logits = Answer(folder / "out", backend, std::nullopt, golden, Numerics::kW4A16);
      EXPECT_LE(Measure(logits, contract).relative, rounding) << c.source << " on " << backend;
    }
  }
}

// A quantised head runs, on every backend alike: in FP8 beside 4-bit linears and in 4 bits as they do. It
// loses more in 4 bits than in 8, and something in each.
TEST(QuantizedModel, RunsWithAQuantisedHead) {
  for (const char* source : {"tiny-qwen3", "tiny-llama"}) {
    const Golden golden(source);
    for (const Dialect dialect : {Dialect::kModelOpt, Dialect::kCompressedTensors}) {
      const TempFolder folder;
      std::map<WeightFormat, Logits> by_head;
      for (const WeightFormat head : {WeightFormat::kBf16, WeightFormat::kFp8, WeightFormat::kNvFp4}) {
        QuantizeOptions options;
        options.dialect = dialect;
        options.head = head;
        options.num_threads = 1;
        const auto out = folder / std::string(WeightFormatName(head));
        Quantize(TinyCheckpoint(source), out, options, {});
        by_head[head] = Answer(out, "reference", Numerics::kW4A16, golden, Numerics::kW4A16);
        for (const std::string& backend : BackendsHere()) {
          const Logits logits = Answer(out, backend, Numerics::kW4A16, golden, Numerics::kW4A16);
          EXPECT_LT(Measure(logits, by_head[head]).relative, 0.01) << source << " on " << backend;
          Answer(out, backend, std::nullopt, golden, Numerics::kW4A4);
        }
      }
      const double fp8 = Measure(by_head[WeightFormat::kFp8], by_head[WeightFormat::kBf16]).relative;
      const double nvfp4 = Measure(by_head[WeightFormat::kNvFp4], by_head[WeightFormat::kBf16]).relative;
      EXPECT_NEAR(fp8, 0.026, 0.01) << source;  // the rounding of normal weights
      EXPECT_NEAR(nvfp4, 0.095, 0.03) << source;
    }
  }
}

// The input scales are those of another text than the golden's (which saturates on purpose), so the codes of
// activations differ; what 4 bits lose in all must not.
TEST(QuantizedModel, LosesInW4A4WhatTheGoldenLoses) {
  for (const Case& c : kCases) {
    const TempFolder folder;
    QuantizeOptions options;
    options.dialect = c.dialect;
    options.num_threads = 1;
    Quantize(TinyCheckpoint(c.source), folder / "out", options, {});
    const Golden golden(c.golden);
    const Logits dense = Golden(c.source).Rows("bf16.exact");
    const double golden_loss = Measure(golden.Rows("w4a4.exact"), dense).relative;
    for (const std::string& backend : BackendsHere()) {
      const Logits logits = Answer(folder / "out", backend, std::nullopt, golden, Numerics::kW4A4);
      const double loss = Measure(logits, dense).relative;
      EXPECT_LT(loss, 1.25 * golden_loss) << c.source << " on " << backend;
      EXPECT_GT(loss, 0.5 * golden_loss) << c.source << " on " << backend << ": was it quantised?";
      // The same file may be told to keep its activations in BF16, which loses less.
      const Logits w4a16 = Answer(folder / "out", backend, Numerics::kW4A16, golden, Numerics::kW4A16);
      EXPECT_LT(Measure(w4a16, dense).relative, loss) << c.source << " on " << backend;
    }
  }
}

}  // namespace
}  // namespace fourstep
