// The shipped model against transformers: tests/model/data/abacus_goldens.json, by
// tools/make_abacus_goldens.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "base/file.h"
#include "base/json.h"
#include "tests/model/golden.h"

namespace fourstep {
namespace {

const std::filesystem::path kRoot = FOURSTEP_SOURCE_DIR;

// Logits of the rows that predict `tokens` after `prompt`, on one sequence of `backend`.
std::vector<float> LogitsOf(Backend& backend, Model& model, const std::vector<int32_t>& prompt,
                            const std::vector<int32_t>& tokens) {
  std::vector<int32_t> sequence = prompt;
  sequence.insert(sequence.end(), tokens.begin(), tokens.end() - 1);
  BatchRows batch;
  batch.SetTables(1, 128);
  for (size_t t = 0; t < sequence.size(); ++t)
    batch.Add(0, static_cast<int32_t>(t), sequence[t], t + 1 >= prompt.size());
  const Batch view = batch.view();
  backend.BeginStep(view);
  model.Forward();
  backend.EndStep();
  return backend.ReadLogits();
}

std::unique_ptr<Model> LoadAbacus(Checkpoint& checkpoint, Backend& backend,
                                  std::optional<KvCacheFormat> kv_cache) {
  return Model::Load(
      checkpoint, backend,
      {.numerics = {}, .kv_cache = kv_cache, .max_slots = 1, .block_tokens = 16, .num_cache_blocks = 128});
}

// The margins are those of FP32; the backend rounds through BF16 activations, so that tokens nearly as likely
// as each other may change places. Two that are a logit apart may not.
void ExpectGoldens(Backend& backend) {
  constexpr double kCertainMargin = 1.0;
  const std::string text = ReadFile(kRoot / "tests/model/data/abacus_goldens.json", size_t{16} << 20);
  const Json goldens = ParseJson(text, "abacus_goldens.json");
  ASSERT_EQ(goldens.size(), 32u);
  Checkpoint checkpoint = Checkpoint::Open(kRoot / "models/abacus");
  const std::unique_ptr<Model> model = LoadAbacus(checkpoint, backend, {});
  const auto vocab = static_cast<size_t>(checkpoint.config().vocab_size);
  int64_t num_tokens = 0, num_certain = 0, num_same = 0, num_correct = 0;
  for (const Json& golden : goldens) {
    const auto tokens = golden["tokens"].get<std::vector<int32_t>>();
    const auto margins = golden["margins"].get<std::vector<double>>();
    const std::vector<float> logits =
        LogitsOf(backend, *model, golden["prompt"].get<std::vector<int32_t>>(), tokens);
    ASSERT_EQ(logits.size(), tokens.size() * vocab);
    for (size_t t = 0; t < tokens.size(); ++t) {
      const auto row = logits.begin() + static_cast<ptrdiff_t>(t * vocab);
      const auto best = std::max_element(row, row + static_cast<ptrdiff_t>(vocab)) - row;
      num_same += best == tokens[t];
      num_certain += margins[t] >= kCertainMargin;
      if (margins[t] >= kCertainMargin) {
        ASSERT_EQ(best, tokens[t]) << golden["id"] << " token " << t << " margin " << margins[t];
      }
    }
    num_tokens += static_cast<int64_t>(tokens.size());
    num_correct += golden["correct"].get<bool>();
  }
  EXPECT_GT(num_certain, num_tokens / 2);
  EXPECT_GE(static_cast<double>(num_same), 0.98 * static_cast<double>(num_tokens));
  EXPECT_GE(num_correct, 8) << "transformers solves problems with it";
}

TEST(Abacus, AnswersAsTransformersDoes) {
  ExpectGoldens(*MakeCpuBackend({.path = "", .num_threads = 1, .max_rows = 2048}));
}

TEST(Abacus, AnswersAsTransformersDoesOnTheGpu) {
#if defined(FOURSTEP_HAS_CUDA)
  if (CountCudaDevices() > 0) return ExpectGoldens(*MakeCudaBackend({.max_rows = 2048}));
#endif
  GTEST_SKIP() << "no GPU";
}

// E4M3 rounds with a relative error of up to u = 2^-4, u / sqrt(3) in the root mean square where it is spread
// evenly. A layer rounds keys and values; what comes of these errors enters the logits with about the gain of
// attention, 1 at most in a trained model, and adds up in quadrature over the layers (golden_test.cc):
// u sqrt(2 layers / 3), relative to the logits.
TEST(Abacus, AnFp8CacheStaysWithinItsRounding) {
  constexpr size_t kTexts = 6;
  const Json goldens = ParseJson(ReadFile(kRoot / "tests/model/data/abacus_goldens.json", size_t{16} << 20),
                                 "abacus_goldens.json");
  Checkpoint checkpoint = Checkpoint::Open(kRoot / "models/abacus");
  const auto read = [&](KvCacheFormat kv_cache) {
    const auto backend = MakeCpuBackend({.path = "", .num_threads = 1, .max_rows = 2048});
    const std::unique_ptr<Model> model = LoadAbacus(checkpoint, *backend, kv_cache);
    std::vector<std::vector<float>> logits;
    for (size_t i = 0; i < kTexts; ++i) {
      logits.push_back(LogitsOf(*backend, *model, goldens[i]["prompt"].get<std::vector<int32_t>>(),
                                goldens[i]["tokens"].get<std::vector<int32_t>>()));
    }
    return logits;
  };
  const auto bf16 = read(KvCacheFormat::kBf16), fp8 = read(KvCacheFormat::kFp8);
  const auto layers = static_cast<double>(checkpoint.config().num_layers);
  for (size_t i = 0; i < kTexts; ++i) {
    ASSERT_EQ(fp8[i].size(), bf16[i].size());
    double error = 0, norm = 0;
    for (size_t j = 0; j < bf16[i].size(); ++j) {
      error += std::pow(double{fp8[i][j]} - bf16[i][j], 2);
      norm += std::pow(double{bf16[i][j]}, 2);
    }
    const double relative = std::sqrt(error / norm);
    RecordProperty("relative_error_" + std::to_string(i), std::to_string(relative));
    EXPECT_LT(relative, 0x1p-4 * std::sqrt(2 * layers / 3)) << goldens[i]["id"];
    EXPECT_GT(relative, 0) << "it is another cache";
  }
}

}  // namespace
}  // namespace fourstep
