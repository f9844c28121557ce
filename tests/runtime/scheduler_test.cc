// The scheduler against a simulated device: every cache cell holds a digest of the tokens up to it, every row
// checks the cells that it attends to, and tokens are a function of the digest. So a wrong position, block
// table, reuse, preemption or order shows, whatever the schedule. The device may run ahead of the host.
#include "runtime/scheduler.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>

#include "base/philox.h"

namespace fourstep {
namespace {

constexpr int32_t kStopToken = 3, kVocab = 40;

uint64_t Digest(uint64_t prefix, int32_t token) {
  const Philox4 bits = Philox(prefix, static_cast<uint64_t>(token), 1);
  return uint64_t{bits.v[0]} << 32 | bits.v[1];
}

int32_t DrawFrom(uint64_t digest, uint64_t seed, int32_t output_position) {
  const uint32_t bits = Philox(digest ^ seed, static_cast<uint64_t>(output_position), 2).v[0];
  return static_cast<int32_t>(bits % kVocab);
}

// What a sequence answers when it runs alone.
std::vector<int32_t> ExpectedAnswer(const std::vector<int32_t>& prompt, uint64_t seed, int32_t max_tokens) {
  uint64_t digest = 0;
  for (const int32_t token : prompt) digest = Digest(digest, token);
  std::vector<int32_t> answer;
  while (static_cast<int32_t>(answer.size()) < max_tokens) {
    answer.push_back(DrawFrom(digest, seed, static_cast<int32_t>(answer.size())));
    if (answer.back() == kStopToken) break;
    digest = Digest(digest, answer.back());
  }
  return answer;
}

class SimulatedDevice {
 public:
  SimulatedDevice(const SchedulerOptions& options) : options_(options) {
    cells_.resize(static_cast<size_t>(options.num_blocks * options.block_tokens));
    slots_.resize(static_cast<size_t>(options.max_sequences));
  }

  void Run(const StepPlan& plan) {
    for (const Sequence* begun : plan.begun)
      slots_[static_cast<size_t>(begun->slot)] = {.seed = begun->sampling.params.seed};
    ASSERT_LE(plan.tokens.size(),
              static_cast<size_t>(options_.prefill_chunk_tokens + options_.max_sequences));
    size_t next_draw = 0;
    for (size_t row = 0; row < plan.tokens.size(); ++row) {
      const int32_t slot = plan.slots[row], position = plan.positions[row];
      SimulatedSlot& state = slots_[static_cast<size_t>(slot)];
      const bool continues = row > 0 && plan.slots[row - 1] == slot;
      if (continues) {
        ASSERT_EQ(position, plan.positions[row - 1] + 1);
      }
      const int32_t token = plan.tokens[row] == kLastDrawnToken ? state.last_token : plan.tokens[row];
      uint64_t digest = 0;
      for (int32_t p = 0; p < position; ++p) {
        const Cell& cell = CellAt(plan, slot, p);
        ASSERT_EQ(cell.prefix, digest) << "position " << p << " of a row at " << position;
        digest = Digest(digest, cell.token);
      }
      CellAt(plan, slot, position) = {digest, token};
      if (next_draw < plan.draw_rows.size() && plan.draw_rows[next_draw] == static_cast<int32_t>(row)) {
        ++next_draw;
        TokenRecord record{.slot = slot, .output_position = state.output_position++};
        record.token = DrawFrom(Digest(digest, token), state.seed, record.output_position);
        state.last_token = record.token;
        records_.push_back(record);
      }
    }
    ASSERT_EQ(next_draw, plan.draw_rows.size());
  }

  // All but the last `num_held` records, in order.
  std::vector<TokenRecord> Read(size_t num_held) {
    std::vector<TokenRecord> read;
    for (; records_.size() > num_held; records_.pop_front()) read.push_back(records_.front());
    return read;
  }

 private:
  struct Cell {
    uint64_t prefix = ~uint64_t{0};  // digest of the tokens before
    int32_t token = -1;
  };
  struct SimulatedSlot {
    uint64_t seed = 0;
    int32_t output_position = 0, last_token = -1;
  };

  Cell& CellAt(const StepPlan& plan, int32_t slot, int32_t position) {
    const int32_t block =
        plan.block_tables[static_cast<size_t>(slot * plan.max_blocks + position / options_.block_tokens)];
    return cells_[static_cast<size_t>(block * options_.block_tokens + position % options_.block_tokens)];
  }

  SchedulerOptions options_;
  std::vector<Cell> cells_;
  std::vector<SimulatedSlot> slots_;
  std::deque<TokenRecord> records_;
};

struct Job {
  Sequence sequence;
  std::vector<int32_t> prompt, expected, answer;
  bool is_finished = false, is_cancelled = false;
  int32_t arrival_step = 0, cancel_step = -1;
};

struct Totals {
  int64_t reused = 0, preemptions = 0, cancelled = 0, mixed_steps = 0;
};

SchedulerOptions RandomOptions(PhiloxStream& random) {
  SchedulerOptions options;
  options.block_tokens = random.Between(1, 6);
  options.max_context_tokens = random.Between(8, 60);
  const int32_t least = (options.max_context_tokens + options.block_tokens - 1) / options.block_tokens;
  options.num_blocks = least + (random.Chance(0.6) ? random.Between(0, 4) : random.Between(0, 8 * least));
  options.max_sequences = random.Between(1, 6);
  options.prefill_chunk_tokens = random.Chance(0.3) ? random.Between(1, 4) : random.Between(5, 64);
  return options;
}

std::vector<std::unique_ptr<Job>> RandomJobs(PhiloxStream& random, const SchedulerOptions& options) {
  std::vector<std::unique_ptr<Job>> jobs;
  const int32_t num_jobs = random.Between(1, 14);
  for (int32_t i = 0; i < num_jobs; ++i) {
    auto job = std::make_unique<Job>();
    const int32_t num_prompt = random.Between(1, options.max_context_tokens - 1);
    for (int32_t t = 0; t < num_prompt; ++t) job->prompt.push_back(random.Chance(0.1) ? 1 : 0);
    const int32_t room = options.max_context_tokens - num_prompt;
    const int32_t max_tokens = random.Chance(0.3) ? room : random.Between(1, room);
    job->sequence.id = i;
    job->sequence.sampling.params.seed = random.Below(3);
    job->sequence.tokens = job->prompt;
    job->sequence.num_prompt = num_prompt;
    job->sequence.max_length = num_prompt + max_tokens;
    job->expected = ExpectedAnswer(job->prompt, job->sequence.sampling.params.seed, max_tokens);
    job->arrival_step = random.Between(0, 40);
    if (random.Chance(0.2)) job->cancel_step = job->arrival_step + random.Between(0, 40);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

void RunSchedule(uint64_t seed, Totals& totals) {
  PhiloxStream random(seed);
  const SchedulerOptions options = RandomOptions(random);
  std::vector<std::unique_ptr<Job>> jobs = RandomJobs(random, options);
  Scheduler scheduler(options);
  SimulatedDevice device(options);
  const uint32_t max_held = random.Chance(0.4) ? 0 : 12;
  size_t num_unfinished = jobs.size();
  const auto finish = [&](Job& job) {
    ASSERT_FALSE(job.is_finished);
    job.is_finished = true;
    --num_unfinished;
    scheduler.Finish(job.sequence);
  };
  for (int32_t step = 0; num_unfinished > 0; ++step) {
    ASSERT_LT(step, 20000) << "no progress";
    for (auto& job : jobs) {
      if (job->arrival_step == step) scheduler.Add(job->sequence);
      if (job->cancel_step == step && !job->is_finished) {
        job->is_cancelled = true;
        ++totals.cancelled;
        finish(*job);
      }
    }
    const StepPlan& plan = scheduler.Plan();
    totals.mixed_steps += plan.draw_rows.size() > 1 && plan.tokens.size() > plan.draw_rows.size() + 1;
    device.Run(plan);
    if (testing::Test::HasFatalFailure()) return;
    const size_t num_held = plan.empty() || max_held == 0 ? 0 : random.Below(max_held);
    for (const TokenRecord& record : device.Read(num_held)) {
      const Sequence* sequence = scheduler.Accept(record);
      if (sequence == nullptr) continue;
      Job& job = *jobs[static_cast<size_t>(sequence->id)];
      ASSERT_FALSE(job.is_finished);
      job.answer.push_back(record.token);
      ASSERT_EQ(static_cast<int32_t>(job.answer.size()) - 1, record.output_position);
      ASSERT_LE(job.answer.size(), job.expected.size());
      ASSERT_EQ(record.token, job.expected[job.answer.size() - 1]);
      if (job.answer.size() == job.expected.size()) finish(job);
    }
  }
  for (const auto& job : jobs) {
    if (!job->is_cancelled) {
      EXPECT_EQ(job->answer, job->expected);
    }
    totals.reused += job->sequence.num_reused;
  }
  EXPECT_EQ(scheduler.cache().num_unreferenced(), options.num_blocks);
  EXPECT_EQ(scheduler.num_running() + scheduler.num_waiting(), 0);
  totals.preemptions += scheduler.num_preemptions();
}

TEST(SchedulerProperty, EveryScheduleGivesTheAnswersOfSequencesAlone) {
  Totals totals;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    RunSchedule(seed, totals);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  // The property says nothing where these do not happen.
  EXPECT_GT(totals.reused, 1000);
  EXPECT_GT(totals.preemptions, 300);
  EXPECT_GT(totals.cancelled, 300);
  EXPECT_GT(totals.mixed_steps, 1000);
}

Sequence MakeSequence(int64_t id, int32_t num_prompt, int32_t max_tokens) {
  Sequence sequence{.id = id, .num_prompt = num_prompt, .max_length = num_prompt + max_tokens};
  // No prefix in common.
  for (int32_t t = 0; t < num_prompt; ++t) sequence.tokens.push_back(static_cast<int32_t>(id) * 1000 + t);
  return sequence;
}

TEST(Scheduler, ChunksAPromptBesideDecodeRows) {
  Scheduler scheduler({.max_sequences = 4,
                       .prefill_chunk_tokens = 8,
                       .num_blocks = 16,
                       .block_tokens = 4,
                       .max_context_tokens = 64});
  Sequence first = MakeSequence(1, 3, 10), second = MakeSequence(2, 20, 10);
  scheduler.Add(first);
  scheduler.Add(second);
  // The first prompt whole, and what is left of the chunk for the second.
  const StepPlan& plan = scheduler.Plan();
  EXPECT_EQ(plan.positions, (std::vector<int32_t>{0, 1, 2, 0, 1, 2, 3, 4}));
  EXPECT_EQ(plan.slots, (std::vector<int32_t>{0, 0, 0, 1, 1, 1, 1, 1}));
  EXPECT_EQ(plan.draw_rows, (std::vector<int32_t>{2}));
  EXPECT_EQ(plan.begun, (std::vector<const Sequence*>{&first, &second}));
  EXPECT_EQ(scheduler.Accept({.slot = 0, .token = 7}), &first);
  scheduler.Plan();
  EXPECT_EQ(plan.positions, (std::vector<int32_t>{3, 5, 6, 7, 8, 9, 10, 11, 12}));
  EXPECT_EQ(plan.tokens[0], kLastDrawnToken);
  EXPECT_EQ(plan.draw_rows, (std::vector<int32_t>{0}));
  EXPECT_TRUE(plan.begun.empty());
  // A step may be planned before the last one is read.
  scheduler.Plan();
  EXPECT_EQ(plan.positions, (std::vector<int32_t>{4, 13, 14, 15, 16, 17, 18, 19}));
  EXPECT_EQ(plan.draw_rows, (std::vector<int32_t>{0, 7}));
  EXPECT_EQ(scheduler.max_unread(), 2);
}

TEST(Scheduler, ASlotIsFreeOnlyWhenAllThatWasDrawnThereIsRead) {
  Scheduler scheduler({.max_sequences = 1,
                       .prefill_chunk_tokens = 8,
                       .num_blocks = 16,
                       .block_tokens = 4,
                       .max_context_tokens = 64});
  Sequence first = MakeSequence(1, 3, 10), second = MakeSequence(2, 3, 10);
  scheduler.Add(first);
  scheduler.Add(second);
  scheduler.Plan();
  scheduler.Plan();
  EXPECT_EQ(scheduler.Accept({.slot = 0, .token = 7}), &first);
  scheduler.Finish(first);
  EXPECT_TRUE(scheduler.Plan().empty());
  EXPECT_EQ(scheduler.Accept({.slot = 0, .token = 8}), nullptr);
  EXPECT_EQ(scheduler.Plan().begun, (std::vector<const Sequence*>{&second}));
}

TEST(Scheduler, TheLatestMakesRoomAndGoesOnFirst) {
  // Six blocks: each prompt takes two, and the first token of each answer needs a third.
  Scheduler scheduler({.max_sequences = 4,
                       .prefill_chunk_tokens = 64,
                       .num_blocks = 6,
                       .block_tokens = 4,
                       .max_context_tokens = 24});
  std::vector<Sequence> sequences;
  for (int64_t id = 1; id <= 4; ++id) sequences.push_back(MakeSequence(id, 8, 8));
  for (Sequence& sequence : sequences) scheduler.Add(sequence);
  const auto slots_of_step = [&] {
    const StepPlan& plan = scheduler.Plan();
    std::vector<int32_t> slots;
    for (const int32_t row : plan.draw_rows) slots.push_back(plan.slots[static_cast<size_t>(row)]);
    for (const int32_t slot : slots) scheduler.Accept({.slot = slot, .token = 5});
    return slots;
  };
  EXPECT_EQ(slots_of_step(), (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(scheduler.num_waiting(), 1);
  EXPECT_EQ(slots_of_step(), (std::vector<int32_t>{0, 1})) << "the third made room for both";
  EXPECT_EQ(scheduler.num_preemptions(), 1);
  for (int step = 2; step < 5; ++step) EXPECT_EQ(slots_of_step(), (std::vector<int32_t>{0, 1}));
  scheduler.Finish(sequences[0]);
  scheduler.Finish(sequences[1]);
  const std::vector<int32_t> slots = slots_of_step();
  EXPECT_EQ(slots, (std::vector<int32_t>{2, 0})) << "before the fourth, in the slot it had";
  EXPECT_EQ(sequences[2].num_known(), 10);
}

}  // namespace
}  // namespace fourstep
