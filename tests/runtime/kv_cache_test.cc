// The block cache: what is found, what is forgotten, and that no block is ever lost or given out twice.
#include "runtime/kv_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "base/philox.h"

namespace fourstep {
namespace {

std::vector<int32_t> Iota(int32_t count, int32_t first = 0) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// A sequence that computed all of `tokens` and ended.
void RunAndRelease(KvCache& cache, const std::vector<int32_t>& tokens) {
  KvCache::Chain chain;
  cache.Reuse(chain, tokens, static_cast<int32_t>(tokens.size()) - 1);
  ASSERT_TRUE(cache.Extend(chain, static_cast<int32_t>(tokens.size())));
  cache.File(chain, tokens);
  cache.Release(chain);
}

int32_t Reusable(KvCache& cache, const std::vector<int32_t>& tokens, int32_t max_tokens) {
  KvCache::Chain chain;
  const int32_t found = cache.Reuse(chain, tokens, max_tokens);
  EXPECT_EQ(found, static_cast<int32_t>(chain.blocks.size()) * cache.block_tokens());
  cache.Release(chain);
  return found;
}

TEST(KvCache, FindsWholeBlocksOfTheSamePrefix) {
  KvCache cache(16, 4);
  RunAndRelease(cache, Iota(14));
  EXPECT_EQ(cache.num_unreferenced(), 16);
  EXPECT_EQ(Reusable(cache, Iota(14), 14), 12);
  EXPECT_EQ(Reusable(cache, Iota(12), 12), 12);
  EXPECT_EQ(Reusable(cache, Iota(12), 11), 8) << "one token must be left to compute";
  EXPECT_EQ(Reusable(cache, Iota(100), 99), 12);
  EXPECT_EQ(Reusable(cache, Iota(12, 1), 12), 0);
  std::vector<int32_t> other = Iota(14);
  other[5] = 99;
  EXPECT_EQ(Reusable(cache, other, 14), 4);
  // The same block of tokens after another prefix is something else.
  std::vector<int32_t> shifted = Iota(14);
  shifted[0] = 99;
  EXPECT_EQ(Reusable(cache, shifted, 14), 0);
  EXPECT_EQ(Reusable(cache, Iota(8, 4), 8), 0);
}

TEST(KvCache, SharesBlocksInUse) {
  KvCache cache(6, 4);
  KvCache::Chain a, b;
  const std::vector<int32_t> tokens = Iota(16);
  ASSERT_TRUE(cache.Extend(a, 16));
  cache.File(a, tokens);
  EXPECT_EQ(cache.Reuse(b, tokens, 15), 12);
  EXPECT_TRUE(std::equal(b.blocks.begin(), b.blocks.end(), a.blocks.begin()));
  EXPECT_EQ(cache.num_unreferenced(), 2);
  EXPECT_TRUE(cache.Extend(b, 16));
  EXPECT_FALSE(cache.Extend(b, 25)) << "needs two more, there is one";
  EXPECT_EQ(cache.num_unreferenced(), 1);
  EXPECT_EQ(b.blocks.size(), 4u);
  cache.Release(a);
  EXPECT_EQ(cache.num_unreferenced(), 2) << "three of its four blocks are still b's";
  EXPECT_TRUE(a.blocks.empty());
  cache.Release(b);
  EXPECT_EQ(cache.num_unreferenced(), 6);
}

TEST(KvCache, ForgetsLeastRecentlyUsedAndTailsFirst) {
  KvCache cache(8, 4);
  RunAndRelease(cache, Iota(12, 100));  // 3 blocks each
  RunAndRelease(cache, Iota(12, 200));
  EXPECT_EQ(Reusable(cache, Iota(12, 100), 12), 12);  // used again: now the more recent
  KvCache::Chain chain;
  ASSERT_TRUE(cache.Extend(chain, 12));  // two blocks were never used; one more
  EXPECT_EQ(Reusable(cache, Iota(12, 200), 12), 8) << "its last block made room";
  // That was a use: now the first ones are the least recent again.
  ASSERT_TRUE(cache.Extend(chain, 20));
  EXPECT_EQ(Reusable(cache, Iota(12, 100), 12), 4);
  EXPECT_EQ(Reusable(cache, Iota(12, 200), 12), 8);
  cache.Release(chain);
}

TEST(KvCache, WhatWasForgottenIsNotFoundThroughAnotherPrefix) {
  KvCache cache(4, 2);
  KvCache::Chain parent, child;
  ASSERT_TRUE(cache.Extend(parent, 2));
  cache.File(parent, Iota(2));
  // The child computes the same first block itself, so that it can outlive the parent's.
  ASSERT_TRUE(cache.Extend(child, 4));
  cache.File(child, Iota(4));
  EXPECT_NE(child.blocks[0], parent.blocks[0]);
  cache.Release(parent);
  KvCache::Chain filler;
  ASSERT_TRUE(cache.Extend(filler, 4));  // takes the last free block and the parent's
  EXPECT_EQ(Reusable(cache, Iota(4), 4), 0);
  std::vector<int32_t> other = {7, 8};
  cache.File(filler, other);
  EXPECT_EQ(Reusable(cache, {7, 8, 2, 3}, 4), 2) << "the child's second block follows {0, 1}, not {7, 8}";
  cache.Release(filler);
  cache.Release(child);
}

// Random lives against a plain account: which prefix the positions of every block were computed from. A found
// block must hold exactly what the account says.
TEST(KvCacheProperty, BlocksHoldWhatTheyAreFoundBy) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    PhiloxStream random(seed);
    const int32_t block_tokens = random.Between(1, 5), num_blocks = random.Between(4, 24);
    KvCache cache(num_blocks, block_tokens);
    struct Life {
      KvCache::Chain chain;
      std::vector<int32_t> tokens;
    };
    std::vector<Life> lives;
    std::map<int32_t, std::vector<int32_t>> computed;  // block -> the prefix that ends with it, when full
    int64_t num_reused = 0;
    for (int step = 0; step < 400; ++step) {
      if (random.Chance(0.4)) {  // begin, from an alphabet of two so that prefixes meet
        Life life;
        const int32_t length = random.Between(1, block_tokens * 6);
        for (int32_t i = 0; i < length; ++i) life.tokens.push_back(random.Chance(0.2) ? 1 : 0);
        const int32_t found = cache.Reuse(life.chain, life.tokens, length - 1);
        EXPECT_LT(found, length);
        num_reused += found;
        for (int32_t b = 0; b < found / block_tokens; ++b) {
          const std::vector<int32_t> prefix(life.tokens.begin(),
                                            life.tokens.begin() + (b + 1) * block_tokens);
          ASSERT_EQ(computed[life.chain.blocks[static_cast<size_t>(b)]], prefix);
        }
        const int32_t missing = cache.BlocksFor(length) - found / block_tokens;
        const bool fits = missing <= cache.num_unreferenced();
        ASSERT_EQ(cache.Extend(life.chain, length), fits);
        if (!fits) {
          cache.Release(life.chain);
          continue;
        }
        for (int32_t b = found / block_tokens; b < length / block_tokens; ++b)
          computed[life.chain.blocks[static_cast<size_t>(b)]].assign(
              life.tokens.begin(), life.tokens.begin() + (b + 1) * block_tokens);
        lives.push_back(std::move(life));
      } else if (!lives.empty()) {
        const size_t which = random.Below(static_cast<uint32_t>(lives.size()));
        Life& life = lives[which];
        const auto num_known = static_cast<size_t>(random.Between(0, static_cast<int>(life.tokens.size())));
        cache.File(life.chain, std::span(life.tokens).first(random.Chance(0.5) ? num_known : 0));
        if (random.Chance(0.5)) {
          cache.Release(life.chain);
          lives.erase(lives.begin() + static_cast<ptrdiff_t>(which));
        }
      }
      std::set<int32_t> in_use;
      for (const Life& life : lives) in_use.insert(life.chain.blocks.begin(), life.chain.blocks.end());
      ASSERT_EQ(cache.num_unreferenced(), num_blocks - static_cast<int32_t>(in_use.size()));
    }
    EXPECT_GT(num_reused, 0);
    for (Life& life : lives) cache.Release(life.chain);
    EXPECT_EQ(cache.num_unreferenced(), num_blocks);
  }
}

}  // namespace
}  // namespace fourstep
