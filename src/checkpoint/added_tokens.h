// Added tokens are found in the text itself, before it is split and merged: <|im_start|>, <think>.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fourstep {

struct AddedToken {
  int32_t id = 0;
  std::string content;      // never empty; normalised where `normalized`
  bool lstrip = false;      // takes the white space before it along
  bool rstrip = false;      // and after it
  bool normalized = false;  // looked for in the normalised text, not in the raw one
  bool special = false;     // a control token: left out of plain text on request
};

// A part of a text: an added token, or (id < 0) text between them.
struct TextPart {
  std::string_view text;
  int32_t id;
};

// Finds tokens from left to right, at each place the longest one, as the Hugging Face tokenizer does.
class AddedTokenMatcher {
 public:
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }

  // Appends the parts of `text`, in order; none of them is empty text. With `parse_special` false, special
  // tokens are text. Time is at most the length of the text times that of the longest token.
  void Split(std::string_view text, bool parse_special, std::vector<TextPart>& parts) const;

 private:
  struct Match {
    size_t length_bytes;
    const AddedToken* token;  // null: none begins here
  };
  Match LongestAt(std::string_view text) const;

  std::vector<AddedToken> tokens_;
  // A trie: edges_[node << 8 | byte] is the next node; token_at_[node] the token that ends there, or -1.
  std::unordered_map<uint64_t, uint32_t> edges_;
  std::vector<int32_t> token_at_;
  std::bitset<256> first_bytes_;
};

}  // namespace fourstep
