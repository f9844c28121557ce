// Reads a Hugging Face tokenizer.json of the kind this program runs: byte-level BPE with NFC or no normaliser
// and one of the known split patterns. Everything else is refused by name.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/added_tokens.h"
#include "checkpoint/bpe.h"
#include "checkpoint/pretokenizer.h"

namespace fourstep {

struct TokenizerSpec {
  std::vector<std::string> token_bytes;  // [id] what the token decodes to; empty: no token has this id
  std::vector<int32_t> model_ids;        // the byte-level tokens of the model's vocabulary, any order
  std::array<int32_t, 256> byte_ids;     // the token of each single byte
  std::vector<Merge> merges;             // by rank; no pair twice
  std::vector<AddedToken> added_tokens;
  bool nfc = false;
  std::vector<SplitPattern> patterns;  // applied one after the other
  bool ignore_merges = false;          // a piece that is a token is that token, whatever the merges say
  std::vector<int32_t> prefix_ids, suffix_ids;  // what the post-processor's template puts around a text
};

// Throws Error naming `where` and the field. Memory is bounded by a small multiple of the size of `text`.
TokenizerSpec ReadTokenizerJson(std::string_view text, const std::string& where);

}  // namespace fourstep
