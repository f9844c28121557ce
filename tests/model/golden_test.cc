// The tiny checkpoints on every backend of this machine against what they must answer (golden.h).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/model/golden.h"

namespace fourstep {
namespace {

struct Case {
  std::string name;
  Numerics numerics;
};

const std::vector<Case> kCases = {
    {"tiny-qwen3", Numerics::kBf16},        {"tiny-qwen2", Numerics::kBf16},
    {"tiny-llama", Numerics::kBf16},        {"tiny-qwen3-nvfp4", Numerics::kW4A4},
    {"tiny-qwen3-nvfp4", Numerics::kW4A16}, {"tiny-qwen2-nvfp4", Numerics::kW4A4},
    {"tiny-qwen2-nvfp4", Numerics::kW4A16}, {"tiny-llama-nvfp4", Numerics::kW4A4},
    {"tiny-llama-nvfp4", Numerics::kW4A16}, {"tiny-llama-nvfp4a16", Numerics::kW4A16},
};

// The oracle in torch rounds where the reference does and computes in double as it does: what is left is the
// last bit of fp32 in the logits and in the frequencies of the rotary embedding.
TEST(Golden, ReferenceFollowsTheContract) {
  for (const Case& c : kCases) {
    const Golden golden(c.name);
    TinyModel model(TinyCheckpoint(c.name), "reference", c.numerics);
    const Logits got = model.Run(golden.Ints("prompt"), golden.Ints("rows"), 64);
    const Distance d = Measure(got, golden.Rows(fmt::format("{}.contract", NumericsName(c.numerics))));
    EXPECT_LT(d.relative, 1e-6) << c.name << " " << NumericsName(c.numerics);
  }
}

}  // namespace
}  // namespace fourstep
