// The head in formats of its own, tied or not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/linear_stack.h"
#include "formats/e4m3.h"
#include "tests/quantize/edited_checkpoint.h"
#include "tests/quantize/quantize_tiny.h"

namespace fourstep {
namespace {

QuantizeOptions WithHead(WeightFormat head, Dialect dialect, bool weights_only) {
  QuantizeOptions options;
  options.head = head;
  options.dialect = dialect;
  options.weights_only = weights_only;
  return options;
}

// amax / 448 of an output, or of all of them, by hand; values to nearest.
void ExpectFp8OfDense(const LinearWeight& read, const LinearWeight& dense) {
  ASSERT_EQ(read.format, WeightFormat::kFp8);
  std::vector<float> row(static_cast<size_t>(dense.k));
  std::vector<float> amax(static_cast<size_t>(dense.n));
  for (int64_t n = 0; n < dense.n; ++n) {
    DecodeRow(dense, n, row.data());
    for (const float x : row)
      amax[static_cast<size_t>(n)] = std::max(amax[static_cast<size_t>(n)], std::fabs(x));
  }
  if (read.output_scales.size() == 1) amax = {std::ranges::max(amax)};
  ASSERT_EQ(read.output_scales.size(), amax.size());
  for (size_t i = 0; i < amax.size(); ++i) EXPECT_EQ(read.output_scales[i], amax[i] / 448.0f);
  for (int64_t n = 0; n < dense.n; ++n) {
    DecodeRow(dense, n, row.data());
    const float scale = OutputScale(read, n);
    for (int64_t i = 0; i < dense.k; ++i) {
      const auto code = static_cast<uint8_t>(read.values[static_cast<size_t>(n * dense.k + i)]);
      ASSERT_EQ(code, E4M3::Encode(row[static_cast<size_t>(i)] / scale)) << n << " " << i;
    }
  }
}

// A tied head becomes one of its own; everything else is as without.
TEST(Quantize, WritesTheHeadInOtherFormats) {
  for (const char* name : {"tiny-qwen3", "tiny-llama"}) {  // tied, not tied
    for (const Dialect dialect : {Dialect::kModelOpt, Dialect::kCompressedTensors}) {
      for (const bool weights_only : {false, true}) {
        const TempFolder folder;
        QuantizeTiny(TinyCheckpoint(name), folder / "plain",
                     WithHead(WeightFormat::kBf16, dialect, weights_only));
        Checkpoint source = Checkpoint::Open(TinyCheckpoint(name));
        const bool was_tied = source.config().tie_word_embeddings;
        const int64_t n = source.config().vocab_size, k = source.config().hidden_size;
        const LinearWeight dense =
            was_tied ? source.Table("model.embed_tokens", n, k) : source.Linear("lm_head", n, k);
        for (const WeightFormat format : {WeightFormat::kFp8, WeightFormat::kNvFp4}) {
          const std::string out = std::string(WeightFormatName(format));
          const QuantizeReport report =
              QuantizeTiny(TinyCheckpoint(name), folder / out, WithHead(format, dialect, weights_only));
          Checkpoint result = Checkpoint::Open(folder / out);
          EXPECT_FALSE(result.config().tie_word_embeddings);
          const LinearWeight head = result.Linear("lm_head", n, k);
          ASSERT_EQ(report.linears.size(), 15u);
          const LinearReport& last = report.linears.back();
          EXPECT_EQ(last.module, "lm_head");
          EXPECT_EQ(last.format, format);
          EXPECT_EQ(last.input_amax > 0, !weights_only);
          if (format == WeightFormat::kFp8) {
            EXPECT_EQ(head.output_scales.size(), dialect == Dialect::kModelOpt ? 1u : static_cast<size_t>(n));
            ExpectFp8OfDense(head, dense);
            EXPECT_NEAR(last.weight_error, 0.026, 0.003);  // of normal weights
          } else {
            EXPECT_EQ(head.input_scale.has_value(), !weights_only);
            EXPECT_NEAR(last.weight_error, 0.095, 0.005);
          }
          OwnedTensors plain = ReadTensors(folder / "plain");
          plain.erase("lm_head.weight");
          const OwnedTensors made = ReadTensors(folder / out);
          for (const auto& [tensor, owned] : plain) EXPECT_TRUE(made.at(tensor) == owned) << tensor;
          for (const auto& [tensor, owned] : made)
            EXPECT_TRUE(plain.contains(tensor) || tensor.starts_with("lm_head.")) << tensor;
        }
      }
    }
  }
}

// A tied checkpoint may hold the head all the same.
TEST(Quantize, WritesOneHeadWhereATiedOneIsThere) {
  const TempFolder folder;
  CopyTiny("tiny-qwen3", folder / "source", [](OwnedTensors& tensors) {
    tensors["lm_head.weight"] = tensors.at("model.embed_tokens.weight");
  });
  const QuantizeOptions options = WithHead(WeightFormat::kFp8, Dialect::kModelOpt, true);
  QuantizeTiny(folder / "source", folder / "a", options);
  QuantizeTiny(TinyCheckpoint("tiny-qwen3"), folder / "b", options);
  EXPECT_TRUE(ReadTensors(folder / "a") == ReadTensors(folder / "b"));
}

TEST(Quantize, TakesAHeadOfZeros) {
  for (const Dialect dialect : {Dialect::kModelOpt, Dialect::kCompressedTensors}) {
    const TempFolder folder;
    CopyTiny("tiny-llama", folder / "source", [](OwnedTensors& tensors) {
      auto& bytes = tensors.at("lm_head.weight").bytes;
      std::fill(bytes.begin(), bytes.end(), std::byte{0});
    });
    const QuantizeReport report =
        QuantizeTiny(folder / "source", folder / "out", WithHead(WeightFormat::kFp8, dialect, true));
    EXPECT_EQ(report.linears.back().weight_error, 0);
    Checkpoint result = Checkpoint::Open(folder / "out");
    EXPECT_THAT(result.Linear("lm_head", report.linears.back().n, report.linears.back().k).output_scales,
                testing::Each(1.0f));
  }
}

}  // namespace
}  // namespace fourstep
