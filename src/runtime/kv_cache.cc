#include "runtime/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace fourstep {

KvCache::KvCache(int32_t num_blocks, int32_t block_tokens) : block_tokens_(block_tokens) {
  FOURSTEP_CHECK(num_blocks > 0 && block_tokens > 0, "{} blocks of {}", num_blocks, block_tokens);
  blocks_.resize(static_cast<size_t>(num_blocks));
  for (int32_t b = 0; b < num_blocks; ++b) {
    blocks_[static_cast<size_t>(b)].place = unreferenced_.insert(unreferenced_.end(), b);
  }
}

size_t KvCache::KeyHash::operator()(const Key& key) const {
  uint64_t hash = static_cast<uint64_t>(key.prefix) * 0x9E3779B97F4A7C15u;
  for (const int32_t token : key.tokens) {
    hash = (hash ^ static_cast<uint32_t>(token)) * 0xFF51AFD7ED558CCDu;
    hash ^= hash >> 32;
  }
  return static_cast<size_t>(hash);
}

KvCache::Key KvCache::KeyOf(int64_t prefix, std::span<const int32_t> tokens, int32_t index) const {
  const auto size = static_cast<size_t>(block_tokens_);
  const auto block = tokens.subspan(static_cast<size_t>(index) * size, size);
  return {prefix, {block.begin(), block.end()}};
}

void KvCache::Refer(int32_t block) {
  Block& b = blocks_[static_cast<size_t>(block)];
  if (b.num_references++ == 0) unreferenced_.erase(b.place);
}

int32_t KvCache::Reuse(Chain& chain, std::span<const int32_t> tokens, int32_t max_tokens) {
  FOURSTEP_CHECK(chain.blocks.empty() && max_tokens >= 0 && static_cast<size_t>(max_tokens) <= tokens.size());
  for (; chain.num_filed < max_tokens / block_tokens_; ++chain.num_filed) {
    const auto found = index_.find(KeyOf(chain.content, tokens, chain.num_filed));
    if (found == index_.end()) break;
    Refer(found->second.block);
    chain.blocks.push_back(found->second.block);
    chain.content = found->second.content;
  }
  return chain.num_filed * block_tokens_;
}

int32_t KvCache::TakeBlock() {
  const int32_t block = unreferenced_.front();
  Refer(block);
  const Key*& key = blocks_[static_cast<size_t>(block)].key;
  if (key != nullptr) index_.erase(index_.find(*key));
  key = nullptr;
  return block;
}

bool KvCache::Extend(Chain& chain, int32_t num_tokens) {
  const int32_t missing = BlocksFor(num_tokens) - static_cast<int32_t>(chain.blocks.size());
  if (missing > num_unreferenced()) return false;
  for (int32_t i = 0; i < missing; ++i) chain.blocks.push_back(TakeBlock());
  return true;
}

void KvCache::File(Chain& chain, std::span<const int32_t> tokens) {
  const auto num_full = std::min(static_cast<int32_t>(chain.blocks.size()),
                                 static_cast<int32_t>(tokens.size()) / block_tokens_);
  for (; chain.num_filed < num_full; ++chain.num_filed) {
    const int32_t block = chain.blocks[static_cast<size_t>(chain.num_filed)];
    const auto [entry, is_new] =
        index_.try_emplace(KeyOf(chain.content, tokens, chain.num_filed), Filed{block, next_content_});
    if (is_new) {
      ++next_content_;
      blocks_[static_cast<size_t>(block)].key = &entry->first;
    }
    chain.content = entry->second.content;  // another block may hold the same: this one is then not found
  }
}

// From the end: of one sequence's blocks the last are forgotten first, because they are of no use without
// those before them.
void KvCache::Release(Chain& chain) {
  for (auto block = chain.blocks.rbegin(); block != chain.blocks.rend(); ++block) {
    Block& b = blocks_[static_cast<size_t>(*block)];
    FOURSTEP_CHECK(b.num_references > 0, "block {}", *block);
    if (--b.num_references > 0) continue;
    b.place = unreferenced_.insert(b.key != nullptr ? unreferenced_.end() : unreferenced_.begin(), *block);
  }
  chain = {};
}

}  // namespace fourstep
