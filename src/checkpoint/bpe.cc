#include "checkpoint/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>
#include <random>
#include <tuple>

#include "base/check.h"

namespace fourstep {
namespace {

constexpr uint32_t kNoRank = UINT32_MAX;
constexpr uint64_t kEmpty = UINT64_MAX;
constexpr uint32_t kNone = UINT32_MAX;
// Up to here a scan of all pairs is faster than a heap.
constexpr size_t kShortBytes = 48;

uint64_t Pair(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

// The seed keeps a hostile file from choosing pairs that all fall on one slot; no result depends on it.
BpeMerger::BpeMerger(const std::array<int32_t, 256>& byte_ids, std::span<const Merge> merges)
    : byte_ids_(byte_ids), slots_(std::bit_ceil(merges.size() * 2 + 2), Slot{kEmpty, kNoRank, 0}) {
  std::random_device random;
  seed_ = static_cast<uint64_t>(random()) << 32 | random();
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t pair = Pair(merges[rank].left, merges[rank].right);
    size_t i = Home(pair);
    while (slots_[i].pair != kEmpty) {
      FOURSTEP_CHECK(slots_[i].pair != pair, "merge {} stands twice", rank);
      i = (i + 1) & (slots_.size() - 1);
    }
    slots_[i] = {pair, static_cast<uint32_t>(rank), merges[rank].merged};
  }
}

size_t BpeMerger::Home(uint64_t pair) const {
  uint64_t hash = (pair ^ seed_) * 0x9e3779b97f4a7c15u;
  hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93u;
  return (hash ^ hash >> 32) & (slots_.size() - 1);
}

BpeMerger::Found BpeMerger::Find(int32_t left, int32_t right) const {
  const uint64_t pair = Pair(left, right);
  for (size_t i = Home(pair);; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].pair == pair) return {slots_[i].rank, slots_[i].merged};
    if (slots_[i].pair == kEmpty) return {kNoRank, 0};
  }
}

void BpeMerger::Append(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() <= kShortBytes) {
    AppendShort(piece, ids);
  } else {
    AppendLong(piece, ids);
  }
}

void BpeMerger::AppendShort(std::string_view piece, std::vector<int32_t>& ids) const {
  int32_t symbols[kShortBytes];
  Found pairs[kShortBytes];  // [i]: symbols i and i + 1
  size_t n = piece.size();
  for (size_t i = 0; i < n; ++i) symbols[i] = byte_ids_[static_cast<unsigned char>(piece[i])];
  for (size_t i = 0; i + 1 < n; ++i) pairs[i] = Find(symbols[i], symbols[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNoRank) break;
    symbols[best] = pairs[best].merged;
    std::copy(symbols + best + 2, symbols + n, symbols + best + 1);
    if (best + 2 < n) std::copy(pairs + best + 2, pairs + n - 1, pairs + best + 1);
    --n;
    if (best > 0) pairs[best - 1] = Find(symbols[best - 1], symbols[best]);
    if (best + 1 < n) pairs[best] = Find(symbols[best], symbols[best + 1]);
  }
  ids.insert(ids.end(), symbols, symbols + n);
}

void BpeMerger::AppendLong(std::string_view piece, std::vector<int32_t>& ids) const {
  FOURSTEP_CHECK(piece.size() < kNone / 2, "{} bytes", piece.size());
  struct Symbol {
    int32_t id;
    uint32_t previous, next;
    Found pair;  // with the next symbol
  };
  // A candidate is stale where its symbol's pair has another rank by now: a rank names one pair only.
  struct Candidate {
    uint32_t rank, position;
    bool operator>(const Candidate& o) const {
      return std::tie(rank, position) > std::tie(o.rank, o.position);
    }
  };
  const auto n = static_cast<uint32_t>(piece.size());
  std::vector<Symbol> symbols(n);
  std::vector<Candidate> first;
  for (uint32_t i = 0; i < n; ++i) {
    symbols[i] = {
        byte_ids_[static_cast<unsigned char>(piece[i])], i - 1, i + 1 < n ? i + 1 : kNone, {kNoRank, 0}};
    if (i == 0) continue;
    Symbol& left = symbols[i - 1];
    left.pair = Find(left.id, symbols[i].id);
    if (left.pair.rank != kNoRank) first.push_back({left.pair.rank, i - 1});
  }
  std::priority_queue queue(std::greater<Candidate>(), std::move(first));
  const auto update = [&](uint32_t position) {
    Symbol& symbol = symbols[position];
    symbol.pair = symbol.next == kNone ? Found{kNoRank, 0} : Find(symbol.id, symbols[symbol.next].id);
    if (symbol.pair.rank != kNoRank) queue.push({symbol.pair.rank, position});
  };
  while (!queue.empty()) {
    const Candidate candidate = queue.top();
    queue.pop();
    Symbol& symbol = symbols[candidate.position];
    if (symbol.pair.rank != candidate.rank) continue;
    Symbol& gone = symbols[symbol.next];
    gone.pair.rank = kNoRank;
    symbol.id = symbol.pair.merged;
    symbol.next = gone.next;
    if (symbol.next != kNone) symbols[symbol.next].previous = candidate.position;
    update(candidate.position);
    if (symbol.previous != kNone) update(symbol.previous);
  }
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace fourstep
