#include "runtime/scheduler.h"

#include <algorithm>

#include "base/check.h"

namespace fourstep {

Batch StepPlan::batch() const {
  return {.tokens = tokens,
          .positions = positions,
          .slots = slots,
          .draw_rows = draw_rows,
          .block_tables = block_tables,
          .max_blocks = max_blocks};
}

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options), cache_(options.num_blocks, options.block_tokens) {
  FOURSTEP_CHECK(options.max_sequences > 0 && options.prefill_chunk_tokens > 0);
  FOURSTEP_CHECK(options.max_context_tokens > 1 &&
                 cache_.BlocksFor(options.max_context_tokens) <= options.num_blocks);
  slots_.resize(static_cast<size_t>(options.max_sequences));
  plan_.max_blocks = cache_.BlocksFor(options.max_context_tokens);
  plan_.block_tables.resize(slots_.size() * static_cast<size_t>(plan_.max_blocks));
}

void Scheduler::Add(Sequence& sequence) {
  FOURSTEP_CHECK(sequence.num_prompt > 0 && sequence.num_known() == sequence.num_prompt &&
                     sequence.max_length > sequence.num_prompt &&
                     sequence.max_length <= options_.max_context_tokens,
                 "prompt of {}, at most {} in all", sequence.num_prompt, sequence.max_length);
  waiting_.push_back(&sequence);
}

const StepPlan& Scheduler::Plan() {
  plan_.tokens.clear();
  plan_.positions.clear();
  plan_.slots.clear();
  plan_.draw_rows.clear();
  plan_.begun.clear();
  for (Sequence* sequence : running_) File(*sequence);

  int32_t chunk_left = options_.prefill_chunk_tokens;
  // Growing preempts from the end only: those before have their rows.
  for (size_t i = 0; i < running_.size(); ++i) AddRows(*running_[i], chunk_left);
  while (!waiting_.empty() && chunk_left > 0 && Start(*waiting_.front())) {
    running_.push_back(waiting_.front());
    waiting_.pop_front();
    AddRows(*running_.back(), chunk_left);
  }
  return plan_;
}

// A waiting sequence begins, or goes on after it was preempted, where there are blocks for all its tokens.
bool Scheduler::Start(Sequence& sequence) {
  if (sequence.num_unread > 0) return false;  // its tokens are needed to compute them again
  const bool is_new = sequence.slot < 0;
  if (is_new && !FindSlot(sequence)) return false;
  // One token is left to compute: what follows it is drawn from its row.
  const int32_t num_reused = cache_.Reuse(sequence.chain, sequence.tokens, sequence.num_known() - 1);
  if (!cache_.Extend(sequence.chain, sequence.num_known())) {
    cache_.Release(sequence.chain);
    if (is_new) sequence.slot = -1;
    return false;
  }
  sequence.num_computed = num_reused;
  if (is_new) {
    sequence.num_reused = num_reused;
    slots_[static_cast<size_t>(sequence.slot)].sequence = &sequence;
    plan_.begun.push_back(&sequence);
  }
  return true;
}

bool Scheduler::FindSlot(Sequence& sequence) {
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (slots_[s].sequence != nullptr || slots_[s].num_stale > 0) continue;
    sequence.slot = static_cast<int32_t>(s);
    return true;
  }
  return false;
}

// False where the sequence had to be preempted itself.
bool Scheduler::Grow(Sequence& sequence, int32_t num_tokens) {
  while (!cache_.Extend(sequence.chain, num_tokens)) {
    const bool is_self = running_.back() == &sequence;
    PreemptLast();
    if (is_self) return false;
  }
  return true;
}

void Scheduler::PreemptLast() {
  Sequence& last = *running_.back();
  cache_.Release(last.chain);
  last.num_computed = 0;
  running_.pop_back();
  waiting_.push_front(&last);
  ++num_preemptions_;
}

void Scheduler::AddRows(Sequence& sequence, int32_t& chunk_left) {
  const int32_t length = sequence.length();
  if (length == sequence.max_length) return;  // all is drawn, the last of it not yet read
  const int32_t first = sequence.num_computed;
  int32_t num_rows = length - first;
  if (num_rows > 1) {
    num_rows = std::min(num_rows, chunk_left);
    chunk_left -= num_rows;
  }
  if (num_rows == 0 || !Grow(sequence, first + num_rows)) return;

  for (int32_t position = first; position < first + num_rows; ++position) {
    const bool is_drawn_last = position == length - 1 && position >= sequence.num_prompt;
    plan_.tokens.push_back(is_drawn_last ? kLastDrawnToken : sequence.tokens[static_cast<size_t>(position)]);
    plan_.positions.push_back(position);
    plan_.slots.push_back(sequence.slot);
  }
  const auto& blocks = sequence.chain.blocks;
  std::copy(blocks.begin(), blocks.end(),
            plan_.block_tables.begin() + int64_t{sequence.slot} * plan_.max_blocks);
  sequence.num_computed = first + num_rows;
  if (sequence.num_computed == length) {
    plan_.draw_rows.push_back(static_cast<int32_t>(plan_.tokens.size()) - 1);
    ++sequence.num_unread;
  }
}

void Scheduler::File(Sequence& sequence) {
  const auto num_known = static_cast<size_t>(std::min(sequence.num_computed, sequence.num_known()));
  cache_.File(sequence.chain, std::span(sequence.tokens).first(num_known));
}

Sequence* Scheduler::Accept(const TokenRecord& record) {
  FOURSTEP_CHECK(record.slot >= 0 && static_cast<size_t>(record.slot) < slots_.size(), "slot {}",
                 record.slot);
  Slot& slot = slots_[static_cast<size_t>(record.slot)];
  if (slot.num_stale > 0) {
    --slot.num_stale;
    return nullptr;
  }
  FOURSTEP_CHECK(slot.sequence != nullptr && slot.sequence->num_unread > 0, "nothing was drawn in slot {}",
                 record.slot);
  --slot.sequence->num_unread;
  if (record.token >= 0) slot.sequence->tokens.push_back(record.token);
  return slot.sequence;
}

void Scheduler::Finish(Sequence& sequence) {
  File(sequence);
  cache_.Release(sequence.chain);
  std::erase(running_, &sequence);
  std::erase(waiting_, &sequence);
  if (sequence.slot < 0) return;
  slots_[static_cast<size_t>(sequence.slot)] = {.num_stale = sequence.num_unread};
}

int32_t Scheduler::max_unread() const {
  int32_t most = 0;
  for (const Slot& slot : slots_) {
    most = std::max(most, slot.sequence != nullptr ? slot.sequence->num_unread : slot.num_stale);
  }
  return most;
}

}  // namespace fourstep
