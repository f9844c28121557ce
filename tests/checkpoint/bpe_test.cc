#include "checkpoint/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

namespace fourstep {
namespace {

// The definition, step by step: join the leftmost of the pairs of lowest rank.
std::vector<int32_t> Naive(const std::string& piece, const std::vector<Merge>& merges) {
  std::vector<int32_t> ids;
  for (const char c : piece) ids.push_back(static_cast<unsigned char>(c));
  while (true) {
    size_t best = ids.size(), best_rank = merges.size();
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
          best = i;
          best_rank = rank;
        }
      }
    }
    if (best == ids.size()) return ids;
    ids[best] = merges[best_rank].merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(BpeMerger, JoinsLowestRankLeftmostFirst) {
  std::array<int32_t, 256> byte_ids;
  for (int i = 0; i < 256; ++i) byte_ids[static_cast<size_t>(i)] = i;
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    // Random merges over three letters, consistent: one id for one string, parts before wholes.
    std::map<std::string, int32_t> ids = {{"a", 'a'}, {"b", 'b'}, {"c", 'c'}};
    std::vector<Merge> merges;
    std::map<std::pair<int32_t, int32_t>, bool> seen;
    for (size_t i = random() % 30; i > 0; --i) {
      const auto pick = [&] { return *std::next(ids.begin(), static_cast<int>(random() % ids.size())); };
      const auto left = pick(), right = pick();
      if (std::exchange(seen[{left.second, right.second}], true)) continue;
      const auto merged =
          ids.try_emplace(left.first + right.first, 256 + static_cast<int32_t>(ids.size())).first;
      merges.push_back({left.second, right.second, merged->second});
    }
    std::shuffle(merges.begin(), merges.end(), random);
    const BpeMerger merger(byte_ids, merges);
    for (const size_t length : {0, 1, 2, 7, 48, 49, 120}) {
      std::string piece;
      while (piece.size() < length) piece += static_cast<char>('a' + random() % 3);
      std::vector<int32_t> tokens = {-7};
      merger.Append(piece, tokens);
      ASSERT_EQ(tokens[0], -7);
      tokens.erase(tokens.begin());
      EXPECT_EQ(tokens, Naive(piece, merges)) << piece;
    }
  }
}

}  // namespace
}  // namespace fourstep
