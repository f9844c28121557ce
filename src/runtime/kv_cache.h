// The key/value cache as the host sees it: blocks of a fixed number of positions, counted references, and
// full blocks that later sequences find by their tokens. The K/V of a position depends on the tokens up to it
// and on nothing else, so that sharing a block is exact.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

namespace fourstep {

class KvCache {
 public:
  KvCache(int32_t num_blocks, int32_t block_tokens);

  // What one sequence holds: blocks[i] has its positions [i * block_tokens, (i + 1) * block_tokens).
  struct Chain {
    std::vector<int32_t> blocks;
    int32_t num_filed = 0;  // leading blocks whose contents are known to the cache
    int64_t content = 0;    // what names the contents of those, 0 for none
  };

  // Gives an empty chain the blocks that hold the longest known prefix of tokens[0, max_tokens), whole blocks
  // only. Returns the number of tokens that they hold.
  int32_t Reuse(Chain& chain, std::span<const int32_t> tokens, int32_t max_tokens);

  // Adds blocks until the chain has `num_tokens` positions; forgets unreferenced contents for them, least
  // recently used first. False, and nothing changed, where there are not enough.
  bool Extend(Chain& chain, int32_t num_tokens);

  // The chain's positions [0, tokens.size()) have been computed from these tokens: its full blocks can be
  // found from now on. Earlier calls' tokens must be a prefix.
  void File(Chain& chain, std::span<const int32_t> tokens);

  // Empties the chain. What was filed stays findable until its block is needed.
  void Release(Chain& chain);

  int32_t num_blocks() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t block_tokens() const { return block_tokens_; }
  int32_t num_unreferenced() const { return static_cast<int32_t>(unreferenced_.size()); }
  int32_t BlocksFor(int32_t num_tokens) const { return (num_tokens + block_tokens_ - 1) / block_tokens_; }

 private:
  // A full block's tokens, after contents that are named by a number: numbers are never used twice, so that
  // equal keys mean equal prefixes whatever the hashes are.
  struct Key {
    int64_t prefix;
    std::vector<int32_t> tokens;  // [block_tokens]
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Filed {
    int32_t block;
    int64_t content;
  };
  struct Block {
    int32_t num_references = 0;
    const Key* key = nullptr;                 // in index_, where it is filed
    std::list<int32_t>::iterator place = {};  // in unreferenced_, where nobody refers to it
  };

  Key KeyOf(int64_t prefix, std::span<const int32_t> tokens, int32_t index) const;
  int32_t TakeBlock();
  void Refer(int32_t block);

  int32_t block_tokens_;
  std::vector<Block> blocks_;
  std::list<int32_t> unreferenced_;  // the next to be taken first
  std::unordered_map<Key, Filed, KeyHash> index_;
  int64_t next_content_ = 1;
};

}  // namespace fourstep
