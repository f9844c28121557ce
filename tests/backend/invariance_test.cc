// A sequence's logits are the same bit for bit whatever runs beside it, wherever its cache lies, however its
// prompt was cut and whatever the number of threads. And small things of the backends' life.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "contestants.h"
#include "random_model.h"
#include "reference/reference_backend.h"

namespace fourstep {
namespace {

constexpr int32_t kLength = 41, kBlocksEach = 6;

int32_t TokenAt(int32_t sequence, int32_t position, int32_t vocab) {
  return static_cast<int32_t>(Philox(static_cast<uint64_t>(sequence), static_cast<uint64_t>(position)).v[0] %
                              static_cast<uint32_t>(vocab));
}

using Logits = std::vector<std::vector<float>>;  // [position][vocab] of sequence 0

struct Plan {
  int32_t slot;    // of sequence 0
  int32_t chunk;   // rows of it a step
  int32_t others;  // sequences beside it, of which step i runs i % 3 + 1 rows each
  int32_t table_stride = 1;
};

Logits RunSequence(Backend& backend, const RandomModelShape& shape, const Plan& plan) {
  RandomModel model(backend, shape, 7);
  Logits logits;
  std::vector<int32_t> done(static_cast<size_t>(shape.max_slots), 0);
  for (int32_t step = 0; static_cast<int32_t>(logits.size()) < kLength; ++step) {
    BatchRows rows;
    rows.SetTables(shape.max_slots, kBlocksEach, plan.table_stride);
    int32_t first_draw = 0, mine = 0;
    for (int32_t slot = 0; slot < shape.max_slots; ++slot) {
      int32_t& at = done[static_cast<size_t>(slot)];
      const bool is_mine = slot == plan.slot;
      const int32_t sequence = is_mine ? 0 : slot + 1;
      const int32_t beside = slot - (slot > plan.slot ? 1 : 0);
      int32_t count = is_mine ? plan.chunk : beside < plan.others ? step % 3 + 1 : 0;
      count = std::min(count, kLength - at);
      if (is_mine) {
        first_draw = static_cast<int32_t>(rows.draw_rows.size());
        mine = count;
      }
      for (int32_t i = 0; i < count; ++i)
        rows.Add(slot, at + i, TokenAt(sequence, at + i, shape.vocab), true);
      at += count;
    }
    model.Step(rows.view());
    const std::vector<float> all = backend.ReadLogits();
    for (int32_t i = 0; i < mine; ++i) {
      const auto from = all.begin() + static_cast<ptrdiff_t>(first_draw + i) * shape.vocab;
      logits.emplace_back(from, from + shape.vocab);
    }
  }
  return logits;
}

std::vector<RandomModelShape> Shapes() {
  RandomModelShape plain;
  RandomModelShape w4a16 = plain;
  w4a16.numerics = Numerics::kW4A16;
  w4a16.has_bias = w4a16.has_pre_quant_scale = true;
  w4a16.block_tokens = 9;
  RandomModelShape bf16 = plain;
  bf16.numerics = Numerics::kBf16;
  bf16.has_head_norms = false;
  bf16.head_dim = 24;
  bf16.block_tokens = 32;
  RandomModelShape fp8 = plain;
  fp8.numerics = Numerics::kBf16;
  fp8.dense_format = WeightFormat::kFp8;
  RandomModelShape fp8_cache = bf16;
  fp8_cache.kv_cache = KvCacheFormat::kFp8;
  return {plain, w4a16, bf16, fp8, fp8_cache};
}

bool SameBits(const Logits& a, const Logits& b) {
  if (a.size() != b.size()) return false;
  for (size_t t = 0; t < a.size(); ++t) {
    if (a[t].size() != b[t].size() || std::memcmp(a[t].data(), b[t].data(), a[t].size() * 4) != 0)
      return false;
  }
  return true;
}

TEST(Invariance, BatchSlotChunkAndThreads) {
  for (const RandomModelShape& shape : Shapes()) {
    std::map<std::string, Logits> by_path;
    std::vector<Contestant> contestants = Contestants();
    contestants.push_back(
        {"reference", false, [](int32_t) { return MakeReferenceBackend({.max_rows = 80}); }});
    for (const auto& [path, has_threads, make] : contestants) {
      const Logits alone = RunSequence(*make(1), shape, {.slot = 0, .chunk = 1, .others = 0});
      for (const Plan& plan :
           std::vector<Plan>{{3, 1, 7}, {7, 41, 0, 5}, {2, 5, 3, 7}, {0, 16, 1}, {5, 3, 7, 11}}) {
        for (const int32_t threads : {1, 2, 5}) {
          if (!has_threads && threads > 1) continue;
          EXPECT_TRUE(SameBits(alone, RunSequence(*make(threads), shape, plan)))
              << path << " " << NumericsName(shape.numerics) << ": slot " << plan.slot << ", chunks of "
              << plan.chunk << ", beside " << plan.others << ", " << threads << " threads";
        }
      }
      by_path[path] = alone;
    }
    if (by_path.contains("avx512-vnni")) {
      EXPECT_TRUE(SameBits(by_path["avx2"], by_path["avx512-vnni"]));
    }
    for (const auto& [path, logits] : by_path) {
      double error = 0, norm = 0;
      for (size_t t = 0; t < logits.size(); ++t) {
        for (size_t i = 0; i < logits[t].size(); ++i) {
          error += std::pow(double{logits[t][i]} - by_path["reference"][t][i], 2);
          norm += std::pow(by_path["reference"][t][i], 2);
        }
      }
      // One ulp of BF16 somewhere moves a 4-bit code now and then.
      const double limit = shape.numerics == Numerics::kW4A4 ? 0.06 : 0.006;
      EXPECT_LT(std::sqrt(error / norm), limit)
          << path << " " << NumericsName(shape.numerics) << " " << KvCacheFormatName(shape.kv_cache);
    }
  }
}

struct AttentionCase {
  AttentionShape shape;
  int32_t block_tokens, first, length;  // attention is computed for positions first .. length - 1
  KvCacheFormat kv_cache = KvCacheFormat::kBf16;
};

// Outputs for sequence 0, of which a step has `chunk` rows. With `has_others`, a step has the next row of a
// second sequence before them, and the next five of a third one behind; or only the next where `chunk` is
// one, so that all rows are of sequences of their own.
std::vector<float> RunAttention(Backend& b, const AttentionCase& c, int32_t chunk, bool has_others) {
  constexpr int32_t kVocab = 61, kSlot = 1, kMaxRows = 80, kSlots = 3;
  const AttentionShape& a = c.shape;
  const RandomWeight table(kVocab, a.qkv_width(), {.format = WeightFormat::kBf16, .scale = 1.5f}, 31);
  const EmbeddingId embedding = b.AddEmbedding(table.view());
  const ActivationId qkv = b.AddActivation(a.qkv_width()), out = b.AddActivation(a.num_heads * a.head_dim);
  RopeTable rope;
  for (int32_t i = 0; i < a.head_dim / 2; ++i)
    rope.inv_freq.push_back(std::pow(1e4f, -2.0f * static_cast<float>(i) / static_cast<float>(a.head_dim)));
  const int32_t blocks = (c.length + c.block_tokens - 1) / c.block_tokens;
  b.AllocateKvCache({.num_layers = 1,
                     .attention = a,
                     .num_blocks = kSlots * blocks,
                     .block_tokens = c.block_tokens,
                     .max_slots = kSlots,
                     .format = c.kv_cache,
                     .scales = UnevenScales(c.kv_cache, 1)},
                    rope);
  std::vector<float> results;
  int32_t done_before = 0, done_behind = 0;
  for (int32_t at = 0; at < c.length;) {
    const bool attends = at >= c.first;
    BatchRows rows;
    rows.SetTables(kSlots, blocks, 5);
    const auto add = [&](int32_t slot, int32_t& done, int32_t count) {
      for (; count > 0 && done < c.length; --count, ++done)
        rows.Add(slot, done, TokenAt(slot, done, kVocab), false);
    };
    if (attends && has_others) add(kSlot - 1, done_before, 1);
    const auto row = static_cast<ptrdiff_t>(rows.tokens.size());
    const int32_t first = at;
    add(kSlot, at, attends ? chunk : std::min(kMaxRows, c.first - at));
    const ptrdiff_t count = at - first;
    if (attends && has_others) add(kSlot + 1, done_behind, chunk == 1 ? 1 : 5);
    const Batch batch = rows.view();
    b.BeginStep(batch);
    b.Embed(qkv, embedding);
    b.RotateAndAppend(qkv, 0, {}, {}, 1e-6f);
    if (attends) b.Attention(out, qkv, 0, {});
    b.EndStep();
    if (!attends) continue;
    const std::vector<float> all = b.ReadActivation(out);
    const ptrdiff_t width = a.num_heads * a.head_dim;
    results.insert(results.end(), all.begin() + row * width, all.begin() + (row + count) * width);
  }
  return results;
}

// Rows of one sequence that stand together may share what they read of it. The long contexts are there
// because the GPU shares contexts out by their length, in another way from 256 groups of 16 positions on, and
// with blocks of one position, which are groups too, has more of them to a warp than are under way at a time;
// in the first case rows have too little context to share on it. With eight kv heads a block of the
// GPU takes several splits of a row that has company, and one of a row that has none.
class AttentionInChunks : public testing::TestWithParam<KvCacheFormat> {};

TEST_P(AttentionInChunks, GiveTheSameRows) {
  for (AttentionCase c : std::vector<AttentionCase>{{{4, 4, 64}, 16, 0, 100},
                                                    {{6, 2, 24}, 9, 230, 320},
                                                    {{8, 2, 128}, 16, 230, 330},
                                                    {{8, 1, 80}, 48, 250, 330},
                                                    {{20, 1, 64}, 16, 260, 330},
                                                    {{2, 1, 136}, 16, 30, 90},
                                                    {{2, 1, 64}, 1, 540, 561},
                                                    {{4, 1, 128}, 1, 540, 561},
                                                    {{12, 1, 128}, 1, 540, 561},
                                                    {{8, 8, 64}, 1, 540, 548},
                                                    {{2, 1, 64}, 16, 4060, 4130},
                                                    {{3, 1, 128}, 40, 3400, 3440}}) {
    c.kv_cache = GetParam();
    for (const Contestant& contestant : Contestants()) {
      SCOPED_TRACE(contestant.name + " " + std::to_string(c.shape.num_heads) + " heads, up to " +
                   std::to_string(c.length));
      const std::vector<float> alone = RunAttention(*contestant.make(2), c, 1, false);
      for (const int32_t chunk : {3, 16, 17, 64, 80}) {
        EXPECT_TRUE(RunAttention(*contestant.make(2), c, chunk, false) == alone) << "chunks of " << chunk;
      }
      for (const int32_t chunk : {1, 10, 70}) {
        EXPECT_TRUE(RunAttention(*contestant.make(2), c, chunk, true) == alone)
            << "chunks of " << chunk << " among others";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Caches, AttentionInChunks, testing::ValuesIn(kKvCacheFormats),
                         [](const auto& format) { return std::string(KvCacheFormatName(format.param)); });

// [num_rows, n]: a linear of the rows of a table.
std::vector<float> LinearOfRows(Backend& b, const RandomWeight& w, Numerics numerics,
                                const RandomWeight& table, int64_t k, int64_t n, int32_t num_rows) {
  const LinearWeight weight = w.view();
  const LinearId linear = b.AddLinear({&weight, 1}, numerics);
  const EmbeddingId embedding = b.AddEmbedding(table.view());
  const VectorId norm = b.AddVector(std::vector<float>(static_cast<size_t>(k), 1.0f));
  const ActivationId x = b.AddActivation(static_cast<int32_t>(k)),
                     input = b.AddActivation(static_cast<int32_t>(k)),
                     y = b.AddActivation(static_cast<int32_t>(n));
  BatchRows rows;
  for (int32_t r = 0; r < num_rows; ++r) rows.Add(r, 0, r, false);
  const Batch batch = rows.view();
  b.BeginStep(batch);
  b.Embed(x, embedding);
  b.Norm(input, x, norm, 1e-6f, linear);
  b.Linear(y, input, linear);
  const std::vector<float> outputs = b.ReadActivation(y);
  b.EndStep();
  return outputs;
}

constexpr WeightFormat kFormats[] = {WeightFormat::kNvFp4, WeightFormat::kFp8, WeightFormat::kBf16};

// So many outputs and inputs that a block of the GPU has several tiles, takes inputs in slices, and fills the
// rings of its warps many times over: copies into a stage that was still being read went unseen by smaller
// shapes.
TEST(Invariance, LargeLinears) {
  constexpr int64_t kOutputs = 4112, kInputs = 10256;
  for (const WeightFormat format : kFormats) {
    const Numerics numerics = format == WeightFormat::kNvFp4 ? Numerics::kW4A4 : Numerics::kBf16;
    const RandomWeight w(kOutputs, kInputs, {.format = format}, 1);
    const RandomWeight table(8, kInputs, {.format = WeightFormat::kBf16, .scale = 1}, 2);
    for (const Contestant& contestant : Contestants()) {
      const auto backend = contestant.make(2);
      const auto run = [&](int32_t num_rows) {
        return LinearOfRows(*backend, w, numerics, table, kInputs, kOutputs, num_rows);
      };
      const std::vector<float> alone = run(1);
      for (const int32_t num_rows : {1, 2, 3, 5, 8, 8, 8}) {
        std::vector<float> first = run(num_rows);
        first.resize(alone.size());
        EXPECT_TRUE(first == alone) << contestant.name << " " << WeightFormatName(format) << ", " << num_rows
                                    << " rows";
      }
    }
  }
}

// Outputs of a linear, of the same added to the rows, and of a gated one in the form of a consumer.
struct RowOutputs {
  std::vector<float> linear, residual, gated;
};

// n is the width of the rows too: [num_rows, n] each.
RowOutputs OutputsOfRows(Backend& b, const RandomWeight& w, const RandomWeight& up, const RandomWeight& down,
                         Numerics numerics, const RandomWeight& table, int32_t n, int32_t num_rows) {
  const std::vector<LinearWeight> gate_up = {w.view(), up.view()};
  const LinearWeight consumer = down.view();
  const LinearId linear = b.AddLinear({gate_up.data(), 1}, numerics), pair = b.AddLinear(gate_up, numerics),
                 reader = b.AddLinear({&consumer, 1}, numerics);
  const EmbeddingId embedding = b.AddEmbedding(table.view());
  const VectorId norm = b.AddVector(std::vector<float>(static_cast<size_t>(n), 1.0f));
  const ActivationId x = b.AddActivation(n), input = b.AddActivation(n), y = b.AddActivation(n);
  BatchRows rows;
  for (int32_t r = 0; r < num_rows; ++r) rows.Add(r, 0, r, false);
  const Batch batch = rows.view();
  RowOutputs outputs;
  b.BeginStep(batch);
  b.Embed(x, embedding);
  b.Norm(input, x, norm, 1e-6f, linear);
  b.Linear(y, input, linear);
  outputs.linear = b.ReadActivation(y);
  b.GatedLinear(y, input, pair, reader);
  outputs.gated = b.ReadActivation(y);
  b.LinearResidual(x, input, linear);
  outputs.residual = b.ReadActivation(x);
  b.EndStep();
  return outputs;
}

// Many rows of many outputs are another kernel of the GPU: its blocks end within these rows, outputs and
// inputs, which it takes in the order of slices.
TEST(Invariance, ManyRows) {
  constexpr int32_t kWidth = 6928, kMost = 144;
  std::vector<Contestant> gpus = Contestants();
  std::erase_if(gpus, [](const Contestant& c) { return c.has_threads; });
  if (gpus.empty()) GTEST_SKIP() << "no GPU";
  for (const WeightFormat format : kFormats) {
    const Numerics numerics = format == WeightFormat::kNvFp4 ? Numerics::kW4A4 : Numerics::kBf16;
    const RandomWeight w(kWidth, kWidth, {.format = format}, 1), up(kWidth, kWidth, {.format = format}, 2),
        down(16, kWidth, {.format = format}, 3);
    const RandomWeight table(kMost, kWidth, {.format = WeightFormat::kBf16, .scale = 1}, 4);
    for (const Contestant& contestant : gpus) {
      const auto run = [&](int32_t num_rows) {
        return OutputsOfRows(*contestant.make(2), w, up, down, numerics, table, kWidth, num_rows);
      };
      const RowOutputs all = run(kMost);
      for (const int32_t num_rows : {1, 8, 33, 80, 129, 143}) {
        SCOPED_TRACE(fmt::format("{} {}, {} rows", contestant.name, WeightFormatName(format), num_rows));
        const RowOutputs some = run(num_rows);
        const auto begins_alike = [](const std::vector<float>& a, const std::vector<float>& b) {
          return std::equal(a.begin(), a.end(), b.begin());
        };
        EXPECT_TRUE(begins_alike(some.linear, all.linear));
        EXPECT_TRUE(begins_alike(some.residual, all.residual));
        EXPECT_TRUE(begins_alike(some.gated, all.gated));
      }
    }
  }
}

// Greedy decoding through kLastDrawnToken equals feeding the arg-max back by hand.
TEST(Life, LastDrawnTokenFeedsTheNextStep) {
  std::vector<Contestant> contestants = Contestants();
  contestants.push_back({"reference", false, [](int32_t) { return MakeReferenceBackend({.max_rows = 80}); }});
  for (const Contestant& contestant : contestants) {
    SCOPED_TRACE(contestant.name);
    const RandomModelShape shape;
    const auto a = contestant.make(2), b = contestant.make(2);
    RandomModel by_slot(*a, shape, 3), by_hand(*b, shape, 3);
    SamplingParams greedy;
    greedy.policy.kind = PolicyKind::kGreedy;
    a->SetSlot(2, {.params = greedy}, {});
    a->SetBoundaryTokens({}, {}, shape.vocab);
    int32_t token = 5;
    for (int32_t t = 0; t < 20; ++t) {
      BatchRows rows, hand;
      rows.SetTables(shape.max_slots, 4);
      hand.SetTables(shape.max_slots, 4);
      rows.Add(2, t, t == 0 ? 5 : kLastDrawnToken, true);
      hand.Add(2, t, token, true);
      by_slot.Step(rows.view(), true);
      by_hand.Step(hand.view());
      const std::vector<float> logits = b->ReadLogits();
      token = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      const std::vector<DrawResult> records = a->ReadRecords(true);
      ASSERT_EQ(records.size(), 1u);
      EXPECT_EQ(records[0].token, token);
      EXPECT_EQ(records[0].slot, 2);
      EXPECT_EQ(records[0].output_position, t);
    }
  }
}

TEST(Life, RefusesWhatItCannotDo) {
  EXPECT_THROW(MakeCpuBackend({.path = "avx1024"}), Error);
  EXPECT_THROW(MakeCpuBackend({.max_rows = 0}), Error);
  EXPECT_THROW(MakeCpuBackend({.num_threads = -1}), Error);
  EXPECT_THROW(MakeReferenceBackend({.max_rows = -1}), Error);
#if defined(FOURSTEP_HAS_CUDA)
  EXPECT_THROW(MakeCudaBackend({.max_rows = 0}), Error);
  EXPECT_THROW(MakeCudaBackend({.device = CountCudaDevices()}), Error);
#endif
  std::vector<Contestant> contestants = Contestants();
  contestants.push_back({"reference", false, [](int32_t) { return MakeReferenceBackend({}); }});
  for (const Contestant& contestant : contestants) {
    SCOPED_TRACE(contestant.name);
    const auto b = contestant.make(1);
    const RandomWeight w(16, 32, {}, 1), other_k(16, 48, {}, 2), other_scale(16, 32, {.input_amax = 3}, 3),
        dense(16, 32, {.format = WeightFormat::kBf16}, 4), mx(16, 32, {.format = WeightFormat::kMxFp4}, 5),
        scaled(16, 32, {.has_pre_quant_scale = true}, 6);
    const auto refuses = [&](std::vector<LinearWeight> stack, Numerics numerics) {
      EXPECT_THROW(b->AddLinear(stack, numerics), Error);
    };
    refuses({}, Numerics::kBf16);
    refuses({w.view(), other_k.view()}, Numerics::kW4A16);
    refuses({w.view(), other_scale.view()}, Numerics::kW4A4);
    refuses({w.view(), scaled.view()}, Numerics::kW4A16);
    refuses({dense.view()}, Numerics::kW4A16);
    refuses({mx.view()}, Numerics::kW4A4);
    LinearWeight bad = w.view();
    bad.input_scale.reset();
    refuses({bad}, Numerics::kW4A4);
    bad = w.view();
    bad.values = bad.values.subspan(1);
    refuses({bad}, Numerics::kW4A16);
    bad = w.view();
    bad.global_scale = -1;
    refuses({bad}, Numerics::kW4A16);
    bad = w.view();
    bad.n = int64_t{1} << 60;
    refuses({bad}, Numerics::kW4A16);
    const RandomWeight fp8(16, 32, {.format = WeightFormat::kFp8}, 7);
    refuses({fp8.view()}, Numerics::kW4A16);
    const std::vector<float> scales(16, 0.0f);
    for (const size_t count : {0, 2, 16}) {
      bad = fp8.view();
      bad.output_scales = std::span(scales).first(count);
      refuses({bad}, Numerics::kBf16);
    }
    bad = dense.view();
    bad.output_scales = fp8.view().output_scales;
    refuses({bad}, Numerics::kBf16);
    EXPECT_THROW(b->AddEmbedding(fp8.view()), Error);
    EXPECT_THROW(b->AddEmbedding(w.view()), Error);
    // Formats may mix where each weight brings its own scales.
    const std::vector<LinearWeight> mixed = {w.view(), mx.view()};
    EXPECT_GE(b->AddLinear(mixed, Numerics::kW4A16).id, 0);
  }
}

}  // namespace
}  // namespace fourstep
