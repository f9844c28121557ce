#include "grammar/dfa_minimiser.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace fourstep {
namespace {

// States in blocks; those of a block stand together in order_.
class Partition {
 public:
  explicit Partition(size_t num_states) : order_(num_states), place_(num_states), block_of_(num_states) {
    std::iota(order_.begin(), order_.end(), 0);
    std::iota(place_.begin(), place_.end(), 0);
    blocks_.push_back({.begin = 0, .end = num_states});
  }

  size_t size() const { return blocks_.size(); }
  size_t block_of(size_t state) const { return block_of_[state]; }
  std::vector<size_t> States(size_t block) const {
    return {order_.begin() + static_cast<ptrdiff_t>(blocks_[block].begin),
            order_.begin() + static_cast<ptrdiff_t>(blocks_[block].end)};
  }

  void Mark(size_t state) {
    Block& block = blocks_[block_of_[state]];
    const size_t to = block.begin + block.num_marked;
    if (place_[state] < to) return;  // is marked
    if (block.num_marked++ == 0) touched_.push_back(block_of_[state]);
    const size_t other = order_[to];
    std::swap(order_[to], order_[place_[state]]);
    std::swap(place_[other], place_[state]);
  }

  // Parts the marked states of each block from the others. The smaller part is a new block: visit(block).
  template <class Visit>
  void Split(const Visit& visit) {
    for (const size_t b : std::exchange(touched_, {})) {
      const size_t begin = blocks_[b].begin, middle = begin + blocks_[b].num_marked, end = blocks_[b].end;
      blocks_[b].num_marked = 0;
      if (middle == end) continue;
      const size_t added = blocks_.size();
      const bool is_front_smaller = middle - begin <= end - middle;
      blocks_.push_back(is_front_smaller ? Block{begin, middle} : Block{middle, end});
      (is_front_smaller ? blocks_[b].begin : blocks_[b].end) = middle;
      for (size_t i = blocks_[added].begin; i < blocks_[added].end; ++i) block_of_[order_[i]] = added;
      visit(added);
    }
  }

 private:
  struct Block {
    size_t begin, end, num_marked = 0;
  };
  std::vector<size_t> order_, place_, block_of_;
  std::vector<Block> blocks_;
  std::vector<size_t> touched_;
};

// Which states lead to a state by a class; kDead is the last state.
class Sources {
 public:
  explicit Sources(const ByteAutomaton& a)
      : num_states_(static_cast<size_t>(a.num_states) + 1), num_classes_(static_cast<size_t>(a.num_classes)) {
    begin_.resize(num_states_ * num_classes_ + 1);
    const auto target = [&](size_t s, size_t c) {
      const int32_t to = s + 1 == num_states_ ? ByteAutomaton::kDead : a.next[s * num_classes_ + c];
      return (to == ByteAutomaton::kDead ? num_states_ - 1 : static_cast<size_t>(to)) * num_classes_ + c;
    };
    for (size_t s = 0; s < num_states_; ++s) {
      for (size_t c = 0; c < num_classes_; ++c) ++begin_[target(s, c) + 1];
    }
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    states_.resize(num_states_ * num_classes_);
    std::vector<size_t> next = begin_;
    for (size_t s = 0; s < num_states_; ++s) {
      for (size_t c = 0; c < num_classes_; ++c) states_[next[target(s, c)]++] = s;
    }
  }

  template <class Visit>
  void ForEach(size_t target, size_t c, const Visit& visit) const {
    const size_t at = target * num_classes_ + c;
    for (size_t i = begin_[at]; i < begin_[at + 1]; ++i) visit(states_[i]);
  }

 private:
  size_t num_states_, num_classes_;
  std::vector<size_t> begin_, states_;
};

Partition EquivalentStates(const ByteAutomaton& a) {
  const auto num_states = static_cast<size_t>(a.num_states) + 1;
  const Sources sources(a);
  Partition partition(num_states);
  // Blocks by which others must still be split. Of one that waits both parts do; of another the smaller part
  // is enough.
  std::vector<size_t> open;
  const auto add_smaller = [&](size_t block) { open.push_back(block); };
  for (size_t s = 0; s + 1 < num_states; ++s) {
    if (a.accepts[s]) partition.Mark(s);
  }
  partition.Split(add_smaller);
  while (!open.empty()) {
    const size_t block = open.back();
    open.pop_back();
    const std::vector<size_t> targets = partition.States(block);
    for (size_t c = 0; c < static_cast<size_t>(a.num_classes); ++c) {
      for (const size_t target : targets) sources.ForEach(target, c, [&](size_t s) { partition.Mark(s); });
      partition.Split(add_smaller);
    }
  }
  return partition;
}

}  // namespace

ByteAutomaton Minimised(const ByteAutomaton& a) {
  const Partition partition = EquivalentStates(a);
  const auto classes = static_cast<size_t>(a.num_classes);
  const size_t dead = partition.block_of(static_cast<size_t>(a.num_states));
  FOURSTEP_CHECK(partition.block_of(0) != dead, "matches no text");
  ByteAutomaton least{.num_classes = a.num_classes, .byte_class = a.byte_class};
  std::vector<int32_t> number(partition.size(), ByteAutomaton::kDead);
  std::vector<size_t> order = {partition.block_of(0)};
  number[order[0]] = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t s = partition.States(order[i])[0];
    least.accepts.push_back(a.accepts[s]);
    for (size_t c = 0; c < classes; ++c) {
      const int32_t to = a.next[s * classes + c];
      const size_t block = to == ByteAutomaton::kDead ? dead : partition.block_of(static_cast<size_t>(to));
      if (block != dead && number[block] == ByteAutomaton::kDead) {
        number[block] = static_cast<int32_t>(order.size());
        order.push_back(block);
      }
      least.next.push_back(number[block]);
    }
  }
  least.num_states = static_cast<int32_t>(order.size());
  return least;
}

}  // namespace fourstep
