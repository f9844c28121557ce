// Every operation of every backend against the reference, over odd shapes.
//
// Tolerance (docs/numerics.md): |err| <= c eps_fp32 (terms of the longest chain) sum|terms| + one BF16 ulp
// where the output is BF16, because both sides round. c = 2.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "contestants.h"
#include "random_model.h"
#include "reference/reference_backend.h"

namespace fourstep {
namespace {

constexpr double kC = 2, kEps = 0x1p-24, kBf16Ulp = 0x1p-7;

struct LinearCase {
  int64_t n, k;  // k = heads * dim of the attention that carries the input
  int32_t num_rows;
  RandomWeight::Options weight;
  Numerics numerics;
};

struct LinearResults {
  std::vector<float> input, linear, residual, gated;
};

// The input reaches the linear bit for bit: attention over one position gives v, in the form that the linear
// reads.
LinearResults RunLinear(Backend& b, const LinearCase& c, const RandomWeight& w1, const RandomWeight& w2) {
  const std::vector<LinearWeight> both = {w1.view(), w2.view()};
  // One pre_quant_scale for both, as a stack must have.
  std::vector<LinearWeight> stack = both;
  stack[1].pre_quant_scale = stack[0].pre_quant_scale;
  const LinearId one = b.AddLinear({stack.data(), 1}, c.numerics), two = b.AddLinear(stack, c.numerics);
  const int32_t dim = c.k % 16 == 0 ? 16 : 2, heads = static_cast<int32_t>(c.k) / dim;
  const RandomWeight table(c.num_rows, 3 * c.k, {.format = WeightFormat::kBf16, .scale = 1}, 3);
  const RandomWeight residuals(c.num_rows, c.n, {.format = WeightFormat::kBf16, .scale = 1}, 4);
  const EmbeddingId embedding = b.AddEmbedding(table.view()), old = b.AddEmbedding(residuals.view());
  b.AllocateKvCache({.num_layers = 1,
                     .attention = {heads, heads, dim},
                     .num_blocks = c.num_rows,
                     .block_tokens = 1,
                     .max_slots = c.num_rows},
                    {.inv_freq = std::vector<float>(static_cast<size_t>(dim / 2), 1.0f)});
  const ActivationId qkv = b.AddActivation(3 * heads * dim), x = b.AddActivation(heads * dim),
                     y = b.AddActivation(static_cast<int32_t>(c.n)),
                     y2 = b.AddActivation(2 * static_cast<int32_t>(c.n));
  BatchRows rows;
  for (int32_t r = 0; r < c.num_rows; ++r) rows.Add(r, 0, r, true);
  rows.SetTables(c.num_rows, 1);
  const Batch batch = rows.view();
  LinearResults results;
  b.BeginStep(batch);
  b.Embed(qkv, embedding);
  b.RotateAndAppend(qkv, 0, {}, {}, 1e-6f);
  b.Attention(x, qkv, 0, one);
  results.input = b.ReadActivation(x);
  b.Linear(y, x, one);
  results.linear = b.ReadActivation(y);
  b.Linear(y2, x, two);  // the stack: its first half is the same linear
  const std::vector<float> stacked = b.ReadActivation(y2);
  for (int32_t r = 0; r < c.num_rows; ++r) {
    for (int64_t i = 0; i < c.n; ++i)
      EXPECT_EQ(stacked[static_cast<size_t>(r * 2 * c.n + i)],
                results.linear[static_cast<size_t>(r * c.n + i)]);
  }
  b.Embed(y, old);
  b.LinearResidual(y, x, one);
  results.residual = b.ReadActivation(y);
  b.GatedLinear(y, x, two, {});
  results.gated = b.ReadActivation(y);
  b.EndStep();
  return results;
}

LinearResults RunLinear(Backend& b, const LinearCase& c) {
  return RunLinear(b, c, RandomWeight(c.n, c.k, c.weight, 1), RandomWeight(c.n, c.k, c.weight, 2));
}

std::vector<LinearCase> LinearCases(int32_t m) {
  std::vector<LinearCase> cases;
  using F = WeightFormat;
  for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 16}, {15, 32}, {16, 48}, {17, 128}, {33, 272}, {100, 1024}}) {
    if (m == 70 && n == 100) continue;
    const bool odd = n % 2 == 1;
    cases.push_back({n, k, m, {.format = F::kNvFp4, .has_bias = odd}, Numerics::kW4A4});
    cases.push_back(
        {n, k, m, {.has_bias = !odd, .has_pre_quant_scale = true, .input_amax = 0.5f}, Numerics::kW4A4});
    cases.push_back(
        {n, k, m, {.format = F::kNvFp4, .has_bias = odd, .has_pre_quant_scale = !odd}, Numerics::kW4A16});
    if (k % 32 == 0) cases.push_back({n, k, m, {.format = F::kMxFp4}, Numerics::kW4A16});
    cases.push_back({n, k, m, {.format = F::kNvFp4, .has_bias = odd}, Numerics::kBf16});
    cases.push_back({n, k - 14, m, {.format = odd ? F::kBf16 : F::kFp32, .has_bias = odd}, Numerics::kBf16});
    const auto scales = odd ? RandomWeight::Fp8Scales::kPerOutput : RandomWeight::Fp8Scales::kOne;
    cases.push_back(
        {n, k - 14, m, {.format = F::kFp8, .has_bias = odd, .fp8_scales = scales}, Numerics::kBf16});
  }
  return cases;
}

// So long that a warp of the GPU has several stages of a tile, and that the inputs are taken in slices.
std::vector<LinearCase> LongLinearCases() {
  std::vector<LinearCase> cases;
  using F = WeightFormat;
  for (const int64_t k : {5200, 6800}) {
    for (const int32_t m : {2, 13, 40}) {
      cases.push_back({20, k, m, {.format = F::kNvFp4}, Numerics::kW4A4});
      cases.push_back({20, k, m, {.format = F::kBf16}, Numerics::kBf16});
      cases.push_back({20, k, m, {.format = F::kFp8, .has_pre_quant_scale = true}, Numerics::kBf16});
    }
  }
  return cases;
}

// Of so many rows, or the long ones. Apart, so that a sanitizer that takes minutes can take them side by
// side.
constexpr int32_t kLong = 0;
class Linears : public testing::TestWithParam<int32_t> {};

TEST_P(Linears, AreThoseOfTheReference) {
  for (const LinearCase& c : GetParam() == kLong ? LongLinearCases() : LinearCases(GetParam())) {
    const auto reference = MakeReferenceBackend({.max_rows = 80});
    const LinearResults expected = RunLinear(*reference, c);
    // sum |w x| <= |w| |x|; weights have a standard deviation of 1 / sqrt(k), their norm is about 1.
    std::vector<double> norms;
    for (int32_t r = 0; r < c.num_rows; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < c.k; ++i) sum += std::pow(expected.input[static_cast<size_t>(r * c.k + i)], 2);
      norms.push_back(std::sqrt(sum) * 1.5);
    }
    const double chain =
        c.numerics == Numerics::kW4A4 ? static_cast<double>(c.k) / 16 : static_cast<double>(c.k) / 4 + 8;
    for (const Contestant& contestant : Contestants()) {
      const auto backend = contestant.make(2);
      const LinearResults got = RunLinear(*backend, c);
      SCOPED_TRACE(fmt::format("{} n {} k {} m {} format {} {}", contestant.name, c.n, c.k, c.num_rows,
                               static_cast<int>(c.weight.format), NumericsName(c.numerics)));
      // Codes and scales are equal; backends multiply a code, its scale and the input scale in either order.
      ASSERT_EQ(got.input.size(), expected.input.size());
      for (size_t i = 0; i < got.input.size(); ++i)
        ASSERT_NEAR(got.input[i], expected.input[i], kC * kEps * std::fabs(expected.input[i])) << i;
      const auto near = [&](const std::vector<float>& a, const std::vector<float>& e, double gain) {
        ASSERT_EQ(a.size(), e.size());
        for (size_t i = 0; i < e.size(); ++i) {
          const double bound = kC * kEps * (chain + 4) * (norms[i / static_cast<size_t>(c.n)] + 8) * gain +
                               kBf16Ulp * std::fabs(e[i]);
          ASSERT_NEAR(a[i], e[i], bound) << i;
        }
      };
      near(got.linear, expected.linear, 1);
      near(got.residual, expected.residual, 1);
      near(got.gated, expected.gated, 16);  // |d silu(g) u| <= 1.1 |u| dg + |g| du
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Parity, Linears, testing::Values(1, 2, 3, 5, 8, 13, 70, kLong),
                         [](const auto& linear) {
                           return linear.param == kLong ? "long" : fmt::format("rows_{}", linear.param);
                         });

// FP8 weights are decoded exactly, and summed as BF16 weights are: where scales are powers of two, both
// linears give the same bits.
TEST(Parity, Fp8IsItsValuesInBf16) {
  std::vector<Contestant> contestants = Contestants();
  contestants.push_back({"reference", false, [](int32_t) { return MakeReferenceBackend({.max_rows = 80}); }});
  for (const auto& [n, k] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 2}, {33, 258}, {100, 1022}, {20, 6800}}) {
    for (const int32_t m : {1, 3, 13, 70}) {
      if (m == 70 && k > 300) continue;
      const LinearCase c = {n,
                            k,
                            m,
                            {.format = WeightFormat::kFp8,
                             .has_bias = n % 2 == 1,
                             .fp8_scales = RandomWeight::Fp8Scales::kPowersOfTwo},
                            Numerics::kBf16};
      const RandomWeight w1(n, k, c.weight, 1), w2(n, k, c.weight, 2);
      const RandomWeight decoded1 = w1.Decoded(), decoded2 = w2.Decoded();
      for (const Contestant& contestant : contestants) {
        SCOPED_TRACE(fmt::format("{} n {} k {} m {}", contestant.name, n, k, m));
        const LinearResults got = RunLinear(*contestant.make(2), c, w1, w2);
        const LinearResults expected = RunLinear(*contestant.make(2), c, decoded1, decoded2);
        EXPECT_EQ(got.linear, expected.linear);
        EXPECT_EQ(got.residual, expected.residual);
        EXPECT_EQ(got.gated, expected.gated);
      }
    }
  }
}

// [num_rows, outputs] of a stack, from rows of a table of BF16.
std::vector<float> RunStack(Backend& b, const std::vector<LinearWeight>& stack, const RandomWeight& table,
                            int32_t num_rows) {
  int32_t n = 0;
  for (const LinearWeight& w : stack) n += static_cast<int32_t>(w.n);
  const LinearId linear = b.AddLinear(stack, Numerics::kBf16);
  const EmbeddingId embedding = b.AddEmbedding(table.view());
  const ActivationId x = b.AddActivation(static_cast<int32_t>(stack[0].k)), y = b.AddActivation(n);
  BatchRows rows;
  for (int32_t r = 0; r < num_rows; ++r) rows.Add(r, 0, r, false);
  const Batch batch = rows.view();
  b.BeginStep(batch);
  b.Embed(x, embedding);
  b.Linear(y, x, linear);
  b.EndStep();
  return b.ReadActivation(y);
}

// Under bf16 the weights of a stack may have any formats: each is what it would be alone.
TEST(Parity, FormatsMixInAStack) {
  constexpr int64_t kN = 20, kK = 160;
  constexpr int32_t kRows = 11;
  std::vector<RandomWeight> weights;
  for (const WeightFormat format : {WeightFormat::kFp8, WeightFormat::kBf16, WeightFormat::kNvFp4})
    weights.emplace_back(kN, kK, RandomWeight::Options{.format = format, .has_bias = true},
                         weights.size() + 1);
  const RandomWeight table(kRows, kK, {.format = WeightFormat::kBf16, .scale = 1}, 9);
  std::vector<LinearWeight> stack;
  for (const RandomWeight& w : weights) stack.push_back(w.view());
  std::vector<Contestant> contestants = Contestants();
  contestants.push_back({"reference", false, [](int32_t) { return MakeReferenceBackend({.max_rows = 80}); }});
  for (const Contestant& contestant : contestants) {
    SCOPED_TRACE(contestant.name);
    const std::vector<float> together = RunStack(*contestant.make(2), stack, table, kRows);
    for (size_t i = 0; i < stack.size(); ++i) {
      const std::vector<float> alone = RunStack(*contestant.make(2), {stack[i]}, table, kRows);
      for (size_t r = 0; r < kRows; ++r) {
        for (size_t o = 0; o < kN; ++o)
          ASSERT_EQ(together[(r * stack.size() + i) * kN + o], alone[r * kN + o])
              << i << " " << r << " " << o;
      }
    }
  }
}

// All finite BF16 values as the largest of a block, at scales that underflow, fit and saturate.
TEST(Parity, EncodersGiveTheSameBytes) {
  std::vector<float> x;
  PhiloxStream random(5);
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float top = BFloat16::Decode({static_cast<uint16_t>(bits)});
    if (!std::isfinite(top)) continue;
    x.push_back(top);
    for (int i = 1; i < 16; ++i) {
      // Many values stand on the borders between two codes.
      const auto twelfths = static_cast<float>(random.Between(-24, 24)) / 24;
      x.push_back(i % 2 == 0 ? top * twelfths : RoundToBFloat16(top * static_cast<float>(random.Uniform())));
    }
  }
  const auto num_blocks = static_cast<int64_t>(x.size() / 16);
  for (const char* path : {"portable", "avx2", "avx512-vnni"}) {
    if (cpu::FindKernels(path) == nullptr) continue;
    for (const float inverse_scale : {1.0f, 448.0f, 1e-3f, 1.0f / NvFp4::GlobalScale(6), 3e4f}) {
      std::vector<uint8_t> codes(x.size() / 2), scale_codes(x.size() / 16);
      std::vector<int8_t> doubled(x.size());
      std::vector<float> scales(x.size() / 16);
      std::vector<int32_t> corrections(x.size() / 16);
      cpu::FindKernels(path)->encode(
          x.data(), num_blocks, inverse_scale,
          {codes.data(), scale_codes.data(), doubled.data(), scales.data(), corrections.data()});
      for (size_t b = 0; b < scales.size(); ++b) {
        const NvFp4::Block expected = NvFp4::EncodeActivation(&x[16 * b], inverse_scale);
        ASSERT_EQ(scale_codes[b], expected.scale) << path << " " << b;
        ASSERT_EQ(0, std::memcmp(&codes[8 * b], expected.codes, 8)) << path << " " << b << " " << x[16 * b];
        ASSERT_EQ(scales[b], E4M3::Decode(expected.scale));
        int32_t sum = 0;
        for (size_t i = 0; i < 16; ++i) {
          ASSERT_EQ(doubled[16 * b + i], E2M1::DecodeDoubled(expected.codes[i / 2] >> (4 * (i % 2)) & 0xF));
          sum += doubled[16 * b + i];
        }
        ASSERT_EQ(corrections[b], -12 * sum);
      }
    }
  }
}

struct NormResults {
  std::vector<float> normed, logits;
  std::vector<float> linear, joined;  // of the normed rows: with a look at them in between, and without
};

NormResults RunNorm(Backend& b, WeightFormat format, int32_t width, int32_t num_rows, float scale) {
  const RandomWeight table(num_rows, width, {.format = WeightFormat::kBf16, .scale = scale}, 11);
  const RandomWeight head(33, width, {.format = format, .has_bias = true}, 12);
  PhiloxStream random(13);
  std::vector<float> weight;
  for (int32_t i = 0; i < width; ++i) weight.push_back(RandomNormal(random));
  const VectorId norm = b.AddVector(weight);
  const EmbeddingId embedding = b.AddEmbedding(table.view());
  const LinearWeight view = head.view();
  const LinearId head_id = b.AddLinear({&view, 1}, Numerics::kBf16);
  const ActivationId x = b.AddActivation(width), y = b.AddActivation(width), z = b.AddActivation(33);
  BatchRows rows;
  for (int32_t r = 0; r < num_rows; ++r) rows.Add(r, 0, r, r % 3 != 1);
  const Batch batch = rows.view();
  NormResults results;
  b.BeginStep(batch);
  b.Embed(x, embedding);
  b.Norm(y, x, norm, 1e-6f, head_id);
  results.normed = b.ReadActivation(y);
  b.Linear(z, y, head_id);
  results.linear = b.ReadActivation(z);
  b.Head(x, norm, 1e-6f, head_id);
  b.EndStep();
  results.logits = b.ReadLogits();
  b.BeginStep(batch);
  b.Embed(x, embedding);
  b.Norm(y, x, norm, 1e-6f, head_id);
  b.Linear(z, y, head_id);
  b.EndStep();
  results.joined = b.ReadActivation(z);
  return results;
}

class NormAndHead : public testing::TestWithParam<WeightFormat> {};

TEST_P(NormAndHead, AreThoseOfTheReference) {
  const WeightFormat format = GetParam();
  for (const int32_t width : {1, 15, 16, 17, 130, 1024, 4224}) {
    for (const float scale : {1.0f, 1e-4f, 300.0f}) {
      const auto reference = MakeReferenceBackend({.max_rows = 80});
      const NormResults expected = RunNorm(*reference, format, width, 5, scale);
      for (const Contestant& contestant : Contestants()) {
        const NormResults got = RunNorm(*contestant.make(2), format, width, 5, scale);
        SCOPED_TRACE(fmt::format("{} width {} scale {}", contestant.name, width, scale));
        ASSERT_EQ(got.normed.size(), expected.normed.size());
        for (size_t i = 0; i < got.normed.size(); ++i)
          ASSERT_NEAR(got.normed[i], expected.normed[i], kBf16Ulp * std::fabs(expected.normed[i])) << i;
        EXPECT_EQ(got.joined, got.linear);
        ASSERT_EQ(got.logits.size(), expected.logits.size());
        ASSERT_EQ(got.logits.size(), size_t{3 * 33});
        // The normed input may differ by an ulp of BF16 in places: that, not the sum, is the error here. It
        // grows like a random walk beyond the widths that 0.02 was made for.
        const double bound = 0.02 * std::sqrt(std::max(1.0, width / 1024.0));
        for (size_t i = 0; i < got.logits.size(); ++i)
          ASSERT_NEAR(got.logits[i], expected.logits[i], bound) << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Parity, NormAndHead, testing::Values(WeightFormat::kBf16, WeightFormat::kFp8),
                         [](const auto& format) { return std::string(WeightFormatName(format.param)); });

struct AttentionCase {
  AttentionShape shape;
  int32_t block_tokens, length;
  bool rotates;  // with angles and norms; without, q, k and v stay bit for bit
  KvCacheFormat kv_cache;
};

// `step_rows` positions a step. With `rotated`, q, k and v as attention found them too.
std::vector<float> RunAttention(Backend& b, const AttentionCase& c, int32_t step_rows,
                                std::vector<float>* rotated) {
  const AttentionShape& a = c.shape;
  const RandomWeight table(c.length, a.qkv_width(), {.format = WeightFormat::kBf16, .scale = 1.5f}, 21);
  const EmbeddingId embedding = b.AddEmbedding(table.view());
  RopeTable rope;
  for (int32_t i = 0; i < a.head_dim / 2; ++i)
    rope.inv_freq.push_back(
        c.rotates ? std::pow(100.0f, -static_cast<float>(i) / static_cast<float>(a.head_dim)) : 0.0f);
  if (c.rotates) rope.attention_factor = 1.25f;
  const int32_t blocks = (c.length + c.block_tokens - 1) / c.block_tokens;
  b.AllocateKvCache({.num_layers = 2,
                     .attention = a,
                     .num_blocks = 3 * blocks,
                     .block_tokens = c.block_tokens,
                     .max_slots = 3,
                     .format = c.kv_cache,
                     .scales = UnevenScales(c.kv_cache, 2)},
                    rope);
  const ActivationId qkv = b.AddActivation(a.qkv_width()), out = b.AddActivation(a.num_heads * a.head_dim);
  VectorId norm;
  if (c.rotates) norm = b.AddVector(std::vector<float>(static_cast<size_t>(a.head_dim), 1.5f));
  std::vector<float> results;
  for (int32_t first = 0; first < c.length; first += step_rows) {
    BatchRows rows;
    for (int32_t t = first; t < std::min(c.length, first + step_rows); ++t) rows.Add(1, t, t, false);
    rows.SetTables(3, blocks, 2);
    const Batch batch = rows.view();
    b.BeginStep(batch);
    b.Embed(qkv, embedding);
    b.RotateAndAppend(qkv, 1, norm, norm, 1e-6f);
    if (rotated != nullptr) {
      const std::vector<float> turned = b.ReadActivation(qkv);
      rotated->insert(rotated->end(), turned.begin(), turned.end());
    }
    b.Attention(out, qkv, 1, {});
    b.EndStep();
    const std::vector<float> part = b.ReadActivation(out);
    results.insert(results.end(), part.begin(), part.end());
  }
  return results;
}

// The longer ones are those of which the GPU computes rows of a step of 80 together.
std::vector<AttentionCase> AttentionCases() {
  std::vector<AttentionCase> cases;
  for (const KvCacheFormat kv_cache : kKvCacheFormats) {
    for (const bool rotates : {false, true}) {
      cases.push_back({{1, 1, 2}, 1, 7, rotates, kv_cache});
      cases.push_back({{6, 2, 16}, 5, 40, rotates, kv_cache});
      cases.push_back({{4, 4, 24}, 16, 170, rotates, kv_cache});
      cases.push_back({{7, 1, 64}, 32, 170, rotates, kv_cache});
      cases.push_back({{8, 2, 128}, 48, 200, rotates, kv_cache});
      cases.push_back({{2, 1, 80}, 17, 170, rotates, kv_cache});
      cases.push_back({{16, 2, 128}, 16, 170, rotates, kv_cache});
      cases.push_back({{20, 1, 64}, 16, 170, rotates, kv_cache});
      cases.push_back({{3, 1, 136}, 16, 40, rotates, kv_cache});
      cases.push_back({{12, 1, 128}, 16, 100, rotates, kv_cache});
    }
  }
  return cases;
}

// The weights sum to 1, values are below 6; a score's error multiplies its weight. Where q and k were rotated
// they may already differ by an ulp of BF16 in places, and a key of an FP8 cache by a whole code, which moves
// a score by up to 1.
double AttentionBound(const AttentionCase& c, float expected) {
  if (c.rotates) return c.kv_cache == KvCacheFormat::kFp8 ? 0.5 : 0.06;
  const double scores = kC * kEps * (c.shape.head_dim + c.length) * 6;
  return scores * 8 + kBf16Ulp * std::fabs(expected);
}

TEST(Parity, RotationAndAttention) {
  for (const AttentionCase& c : AttentionCases()) {
    const auto reference = MakeReferenceBackend({.max_rows = 80});
    std::vector<float> expected_qkv;
    const std::vector<float> expected = RunAttention(*reference, c, 64, &expected_qkv);
    for (const Contestant& contestant : Contestants()) {
      SCOPED_TRACE(fmt::format("{} heads {}/{} of {}, blocks of {}, rotates {}, {} cache", contestant.name,
                               c.shape.num_heads, c.shape.num_kv_heads, c.shape.head_dim, c.block_tokens,
                               c.rotates, KvCacheFormatName(c.kv_cache)));
      std::vector<float> got_qkv;
      const std::vector<float> got = RunAttention(*contestant.make(2), c, 64, &got_qkv);
      ASSERT_EQ(got_qkv.size(), expected_qkv.size());
      for (size_t i = 0; i < got_qkv.size(); ++i) {
        // Two products of up to 8 whose difference may be small.
        const double bound = c.rotates ? kBf16Ulp * std::fabs(expected_qkv[i]) + kC * kEps * 64 : 0;
        ASSERT_NEAR(got_qkv[i], expected_qkv[i], bound) << i;
      }
      ASSERT_EQ(got.size(), expected.size());
      double error = 0;
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], expected[i], AttentionBound(c, expected[i])) << i;
        error += std::pow(double{got[i]} - expected[i], 2);
      }
      EXPECT_LT(std::sqrt(error / static_cast<double>(got.size())), 0.005);
      // A backend may join operations where nobody asks in between, and where rows are of different
      // sequences; it may compute rows of one sequence together.
      for (const int32_t step_rows : {64, 1, 17, 80}) {
        EXPECT_EQ(RunAttention(*contestant.make(2), c, step_rows, nullptr), got)
            << step_rows << " rows a step";
      }
    }
  }
}

// What rows of one position each, which read nothing but themselves, give: the values [rows, width] as an FP8
// cache has them. Keys are `key`.
std::vector<float> ValuesThroughCache(Backend& b, const std::vector<uint16_t>& values, int32_t num_rows,
                                      uint16_t key, KvCacheFormat format,
                                      const std::vector<KvScales>& scales) {
  constexpr int32_t kDim = 64;
  const size_t width = values.size() / static_cast<size_t>(num_rows);
  std::vector<uint16_t> rows_of_qkv;
  for (size_t r = 0; r < static_cast<size_t>(num_rows); ++r) {
    rows_of_qkv.insert(rows_of_qkv.end(), width, 0x3F80);  // 1
    rows_of_qkv.insert(rows_of_qkv.end(), width, key);
    const auto from = values.begin() + static_cast<ptrdiff_t>(r * width);
    rows_of_qkv.insert(rows_of_qkv.end(), from, from + static_cast<ptrdiff_t>(width));
  }
  LinearWeight table;
  table.name = "rows";
  table.n = num_rows;
  table.k = static_cast<int64_t>(3 * width);
  table.values = std::as_bytes(std::span(rows_of_qkv));
  const EmbeddingId embedding = b.AddEmbedding(table);
  const auto heads = static_cast<int32_t>(width) / kDim;
  b.AllocateKvCache({.num_layers = 1,
                     .attention = {heads, heads, kDim},
                     .num_blocks = num_rows,
                     .block_tokens = 1,
                     .max_slots = num_rows,
                     .format = format,
                     .scales = scales},
                    {.inv_freq = std::vector<float>(kDim / 2, 1.0f)});
  const ActivationId qkv = b.AddActivation(static_cast<int32_t>(table.k)),
                     out = b.AddActivation(static_cast<int32_t>(width));
  BatchRows rows;
  for (int32_t r = 0; r < num_rows; ++r) rows.Add(r, 0, r, false);
  rows.SetTables(num_rows, 1);
  const Batch batch = rows.view();
  b.BeginStep(batch);
  b.Embed(qkv, embedding);
  b.RotateAndAppend(qkv, 0, {}, {}, 1e-6f);
  b.Attention(out, qkv, 0, {});
  b.EndStep();
  return b.ReadActivation(out);
}

// Every BF16 number but NaN, and so every border between two codes, at scales whose quotients have all 24
// bits.
TEST(Parity, Fp8CacheRoundsEveryNumberOnce) {
  constexpr int32_t kRows = 64;
  std::vector<uint16_t> values(0x10000);
  for (uint32_t bits = 0; bits < 0x10000; ++bits)
    values[bits] =
        static_cast<uint16_t>(std::isnan(BFloat16::Decode({static_cast<uint16_t>(bits)})) ? 0 : bits);
  std::vector<Contestant> contestants = Contestants();
  contestants.push_back({"reference", false, [](int32_t) { return MakeReferenceBackend({.max_rows = 80}); }});
  for (const Contestant& contestant : contestants) {
    for (const float scale : {1.0f, 0.0625f, 0.013f, 1.7f, kMinKvScale, kMaxKvScale}) {
      const std::vector<float> got = ValuesThroughCache(*contestant.make(2), values, kRows, 0,
                                                        KvCacheFormat::kFp8, {{.k = 1, .v = scale}});
      ASSERT_EQ(got.size(), values.size());
      for (size_t i = 0; i < values.size(); ++i) {
        const float value = BFloat16::Decode({values[i]});
        ASSERT_EQ(got[i], RoundToBFloat16(E4M3::Decode(E4M3::Encode(value / scale)) * scale))
            << contestant.name << " " << value << " at scale " << scale;
      }
    }
  }
}

// An FP8 cache must not make numbers of what is NaN with a BF16 one.
TEST(Parity, Fp8CacheKeepsNan) {
  constexpr uint16_t kNan = 0x7FC0;
  std::vector<uint16_t> values(3 * 128, 0x3F80);
  for (const size_t i : {5, 130, 255, 300}) values[i] = kNan;
  std::vector<Contestant> contestants = Contestants();
  contestants.push_back({"reference", false, [](int32_t) { return MakeReferenceBackend({.max_rows = 80}); }});
  for (const Contestant& contestant : contestants) {
    for (const uint16_t key : {uint16_t{0x3F80}, kNan}) {
      const auto run = [&](KvCacheFormat format) {
        return ValuesThroughCache(*contestant.make(1), values, 3, key, format, {});
      };
      const std::vector<float> expected = run(KvCacheFormat::kBf16), got = run(KvCacheFormat::kFp8);
      for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_TRUE(!std::isnan(expected[i]) || std::isnan(got[i])) << contestant.name << " " << i;
        EXPECT_TRUE(values[i] != kNan || std::isnan(got[i])) << contestant.name << " " << i;
      }
      if (key != kNan) {
        EXPECT_EQ(got[100], 1.0f) << contestant.name;
      }
    }
  }
}

}  // namespace
}  // namespace fourstep
