// The tokens of a vocabulary by their bytes, so that an automaton walks every common beginning once.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fourstep {

class TokenTrie {
 public:
  // `token_bytes` [num_tokens]: empty where a token writes no text.
  explicit TokenTrie(std::span<const std::string_view> token_bytes);

  int32_t num_tokens() const { return num_tokens_; }
  // Nodes with the bytes that lead to them, parents before children.
  size_t num_nodes() const { return nodes_.size(); }

  // Reads every token from `start`: next(state, byte) is a state >= 0, or below 0 where the token cannot go
  // on; visit(token, state) where it could.
  template <class Next, class Visit>
  void Walk(int32_t start, const Next& next, const Visit& visit) const {
    std::vector<int32_t> states(max_depth_ + 1);
    states[0] = start;
    for (size_t i = 0; i < nodes_.size();) {
      const Node& node = nodes_[i];
      const int32_t state = next(states[node.depth - 1], node.byte);
      if (state < 0) {
        i = node.end;
        continue;
      }
      states[node.depth] = state;
      for (uint32_t t = node.first_token; t < node.last_token; ++t) visit(tokens_[t], state);
      ++i;
    }
  }

 private:
  struct Node {
    uint32_t end;                      // the first node that is not below this one
    uint32_t first_token, last_token;  // in tokens_: those that end here
    uint32_t depth;                    // bytes so far, >= 1
    uint8_t byte;
  };
  int32_t num_tokens_;
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;  // ids by their bytes
  size_t max_depth_ = 0;
};

}  // namespace fourstep
