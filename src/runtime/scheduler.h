// Scheduler: which rows the next step computes. Continuous batching over a paged cache: every running
// sequence gets the row of its next token, and prompts are computed in chunks beside them.
//
// First come, first served: running sequences stand in the order of their arrival, those that wait came
// later. Where the cache runs out, the latest running one gives its blocks back and waits at the head; it
// keeps its slot, and with it the sampler's state, and its tokens are computed again later. The earliest is
// never held up, so that every sequence ends.
//
// Steps may be planned before the tokens of earlier ones were read (a device runs ahead of the host): the
// rows of the next tokens are kLastDrawnToken. What such a step draws after the end of an answer is dropped.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "backend/batch.h"
#include "backend/token_record.h"
#include "runtime/kv_cache.h"
#include "runtime/sequence.h"

namespace fourstep {

struct SchedulerOptions {
  int32_t max_sequences = 8;           // slots
  int32_t prefill_chunk_tokens = 256;  // rows a step beside those of next tokens
  int32_t num_blocks = 0, block_tokens = 0;
  int32_t max_context_tokens = 0;  // of a sequence; at most what all blocks hold
};

// The arrays of a Batch, and whose answers begin with it.
struct StepPlan {
  std::vector<int32_t> tokens, positions, slots, draw_rows;
  std::vector<int32_t> block_tables;  // [max_sequences, max_blocks]
  int32_t max_blocks = 0;
  std::vector<const Sequence*> begun;  // new in their slots

  bool empty() const { return tokens.empty(); }
  Batch batch() const;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);

  // `sequence` must stay valid until Finish. At most max_context_tokens long, ever.
  void Add(Sequence& sequence);

  // Rows of the next step, at most prefill_chunk_tokens + max_sequences; none where nothing waits or all that
  // could go on must be read first. The step is taken to be run, in order, before any later one.
  const StepPlan& Plan();

  // A record was read, in order: its token joins the sequence, which is returned; null where the answer had
  // ended before. A failed draw (token -1) joins nothing: its sequence must be finished.
  Sequence* Accept(const TokenRecord& record);

  // The sequence ends, wherever it is; its blocks are free, its slot once all that was drawn there is read.
  void Finish(Sequence& sequence);

  const KvCache& cache() const { return cache_; }
  int32_t num_running() const { return static_cast<int32_t>(running_.size()); }
  int32_t num_waiting() const { return static_cast<int32_t>(waiting_.size()); }
  int64_t num_preemptions() const { return num_preemptions_; }
  int32_t max_unread() const;  // of one slot, finished answers included

 private:
  struct Slot {
    Sequence* sequence = nullptr;
    int32_t num_stale = 0;  // records to come of an answer that has ended
  };

  bool Start(Sequence& sequence);
  bool FindSlot(Sequence& sequence);
  bool Grow(Sequence& sequence, int32_t num_tokens);
  void PreemptLast();
  void AddRows(Sequence& sequence, int32_t& chunk_left);
  void File(Sequence& sequence);

  SchedulerOptions options_;
  KvCache cache_;
  std::deque<Sequence*> waiting_;   // earliest first; those with a slot were preempted
  std::vector<Sequence*> running_;  // earliest first
  std::vector<Slot> slots_;
  StepPlan plan_;
  int64_t num_preemptions_ = 0;
};

}  // namespace fourstep
