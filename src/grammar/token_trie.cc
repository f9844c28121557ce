#include "grammar/token_trie.h"

#include <algorithm>

namespace fourstep {

TokenTrie::TokenTrie(std::span<const std::string_view> token_bytes)
    : num_tokens_(static_cast<int32_t>(token_bytes.size())) {
  for (int32_t id = 0; id < num_tokens_; ++id) {
    if (!token_bytes[static_cast<size_t>(id)].empty()) tokens_.push_back(id);
  }
  const auto bytes_of = [&](int32_t id) { return token_bytes[static_cast<size_t>(id)]; };
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [&](int32_t a, int32_t b) { return bytes_of(a) < bytes_of(b); });
  std::vector<size_t> path;  // nodes of the last token's bytes
  std::string_view last;
  const auto close = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back())
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
  };
  for (uint32_t t = 0; t < tokens_.size(); ++t) {
    const std::string_view bytes = bytes_of(tokens_[t]);
    const auto shared =
        std::mismatch(bytes.begin(), bytes.end(), last.begin(), last.end()).first - bytes.begin();
    close(static_cast<size_t>(shared));
    for (size_t depth = path.size(); depth < bytes.size(); ++depth) {
      path.push_back(nodes_.size());
      nodes_.push_back({.end = 0,
                        .first_token = t,
                        .last_token = t,
                        .depth = static_cast<uint32_t>(depth + 1),
                        .byte = static_cast<uint8_t>(bytes[depth])});
    }
    nodes_[path.back()].last_token = t + 1;
    max_depth_ = std::max(max_depth_, bytes.size());
    last = bytes;
  }
  close(0);
}

}  // namespace fourstep
