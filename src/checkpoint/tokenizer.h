// The tokenizer of a checkpoint: text to token ids and back, as the Hugging Face tokenizer does it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "checkpoint/added_tokens.h"
#include "checkpoint/bpe.h"
#include "checkpoint/tokenizer_json.h"

namespace fourstep {

struct EncodeOptions {
  // False: special tokens in the text (<|im_end|>) are text like any other. Added tokens that are not special
  // (Qwen3's <think>) are found all the same.
  bool parse_special = true;
  // Put what the post-processor says around the text (Llama 3: <|begin_of_text|>). Chat templates write it
  // already.
  bool add_special_tokens = false;
};

// Immutable: all const members may be called from several threads.
class Tokenizer {
 public:
  // Reads tokenizer.json in `folder`; tokenizer_config.json, where there is one, must name no other added
  // tokens. Throws Error.
  static Tokenizer Load(const std::filesystem::path& folder);
  // The same from the text of a tokenizer.json; `where` names it in messages.
  static Tokenizer Parse(std::string_view json, const std::string& where);

  // Invalid UTF-8 in `text` becomes U+FFFD first. Throws Error for more than 1 GiB. Time is n log n at worst.
  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options = {}) const;

  // The text of `ids`, invalid UTF-8 replaced by U+FFFD. Ids that are no token (a model's padding) are left
  // out. `skip_special` leaves out special tokens too.
  std::string Decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // The bytes of a token, which need not be whole characters; empty where `id` is no token.
  std::string_view TokenBytes(int32_t id) const;
  bool IsToken(int32_t id) const { return !TokenBytes(id).empty(); }
  bool IsSpecial(int32_t id) const;

  // The largest id plus one. A model's vocab_size may be larger: it pads.
  int32_t vocab_size() const { return static_cast<int32_t>(token_bytes_.size()); }

  // The id of an added token by its exact content.
  std::optional<int32_t> IdOf(std::string_view added_token) const;
  std::span<const AddedToken> added_tokens() const { return added_tokens_; }

 private:
  explicit Tokenizer(TokenizerSpec spec);
  void AppendText(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const;
  void AppendPieces(std::string_view text, std::vector<int32_t>& ids) const;
  void CheckAgainstConfig(std::string_view json, const std::string& where) const;

  std::vector<std::string> token_bytes_;  // [id]
  std::vector<bool> is_special_;          // [id]
  std::vector<AddedToken> added_tokens_;
  AddedTokenMatcher raw_tokens_, normalized_tokens_;
  bool nfc_;
  std::vector<SplitPattern> patterns_;
  BpeMerger merger_;
  std::unordered_map<std::string, int32_t> whole_pieces_;  // with ignore_merges: the model's tokens
  std::vector<int32_t> prefix_ids_, suffix_ids_;
};

}  // namespace fourstep
