#include "checkpoint/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "checkpoint/nfc.h"

namespace fourstep {
namespace {

constexpr size_t kMaxFileBytes = size_t{128} << 20;
constexpr size_t kMaxTextBytes = size_t{1} << 30;

bool IsValidUtf8(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    if (static_cast<unsigned char>(text[pos]) < 0x80) {
      ++pos;
      continue;
    }
    const size_t length_bytes = Utf8Length(text.substr(pos));
    if (length_bytes == 0) return false;
    pos += length_bytes;
  }
  return true;
}

std::vector<AddedToken> Select(const TokenizerSpec& spec, bool normalized) {
  std::vector<AddedToken> tokens;
  for (const AddedToken& token : spec.added_tokens) {
    if (token.normalized == normalized) tokens.push_back(token);
  }
  return tokens;
}

}  // namespace

Tokenizer::Tokenizer(TokenizerSpec spec)
    : token_bytes_(std::move(spec.token_bytes)),
      is_special_(token_bytes_.size()),
      added_tokens_(spec.added_tokens),
      raw_tokens_(Select(spec, false)),
      normalized_tokens_(Select(spec, true)),
      nfc_(spec.nfc),
      patterns_(std::move(spec.patterns)),
      merger_(spec.byte_ids, spec.merges),
      prefix_ids_(std::move(spec.prefix_ids)),
      suffix_ids_(std::move(spec.suffix_ids)) {
  for (const AddedToken& token : added_tokens_) is_special_[static_cast<size_t>(token.id)] = token.special;
  if (!spec.ignore_merges) return;
  whole_pieces_.reserve(spec.model_ids.size());
  for (const int32_t id : spec.model_ids) whole_pieces_.emplace(token_bytes_[static_cast<size_t>(id)], id);
}

Tokenizer Tokenizer::Parse(std::string_view json, const std::string& where) {
  return Tokenizer(ReadTokenizerJson(json, where));
}

Tokenizer Tokenizer::Load(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json", config = folder / "tokenizer_config.json";
  Tokenizer tokenizer = Parse(ReadFile(path, kMaxFileBytes), path.string());
  if (std::filesystem::exists(config)) {
    tokenizer.CheckAgainstConfig(ReadFile(config, kMaxFileBytes), config.string());
  }
  return tokenizer;
}

// transformers adds tokens that only tokenizer_config.json has; we refuse, since tokenizer.json should have
// them.
void Tokenizer::CheckAgainstConfig(std::string_view json, const std::string& where) const {
  const Json root = ParseJson(json, where);
  const JsonReader reader(root, where);
  if (!reader.Has("added_tokens_decoder")) return;
  const std::string field = where + ": added_tokens_decoder";
  const Json& decoder = reader.Get("added_tokens_decoder");
  JsonReader(decoder, field);  // must be an object
  for (const auto& [id, token] : decoder.items()) {
    const std::string content = JsonReader(token, field).String("content");
    const std::optional<int32_t> known = IdOf(content);
    if (!known || std::to_string(*known) != id) {
      throw Errorf(field, "\"{}\" has id {}, but tokenizer.json {}", Printable(content), Printable(id),
                   known ? fmt::format("gives it {}", *known) : std::string("does not add it"));
    }
  }
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes) throw Errorf("text", "{} bytes, at most {}", text.size(), kMaxTextBytes);
  std::string repaired;
  if (!IsValidUtf8(text)) text = repaired = ReplaceInvalidUtf8(text);
  std::vector<int32_t> ids;
  if (options.add_special_tokens) ids = prefix_ids_;
  std::vector<TextPart> parts;
  raw_tokens_.Split(text, options.parse_special, parts);
  for (const TextPart& part : parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      AppendText(part.text, options, ids);
    }
  }
  if (options.add_special_tokens) ids.insert(ids.end(), suffix_ids_.begin(), suffix_ids_.end());
  return ids;
}

// `text` has no raw added token in it.
void Tokenizer::AppendText(std::string_view text, const EncodeOptions& options,
                           std::vector<int32_t>& ids) const {
  std::string normalized;
  if (nfc_ && !IsTriviallyNfc(text)) text = normalized = NormalizeNfc(text);
  if (normalized_tokens_.empty()) return AppendPieces(text, ids);
  std::vector<TextPart> parts;
  normalized_tokens_.Split(text, options.parse_special, parts);
  for (const TextPart& part : parts) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      AppendPieces(part.text, ids);
    }
  }
}

// `text` is normalised and has no added token in it.
void Tokenizer::AppendPieces(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<std::string_view> pieces = {text};
  for (const SplitPattern pattern : patterns_) {
    std::vector<std::string_view> finer;
    for (const std::string_view piece : pieces) SplitByPattern(pattern, piece, finer);
    pieces = std::move(finer);
  }
  std::string key;
  for (const std::string_view piece : pieces) {
    if (!whole_pieces_.empty()) {
      key.assign(piece);
      if (const auto it = whole_pieces_.find(key); it != whole_pieces_.end()) {
        ids.push_back(it->second);
        continue;
      }
    }
    merger_.Append(piece, ids);
  }
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (skip_special && IsSpecial(id)) continue;
    bytes += TokenBytes(id);
  }
  return ReplaceInvalidUtf8(bytes);
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  return id >= 0 && id < vocab_size() ? std::string_view(token_bytes_[static_cast<size_t>(id)])
                                      : std::string_view();
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && id < vocab_size() && is_special_[static_cast<size_t>(id)];
}

std::optional<int32_t> Tokenizer::IdOf(std::string_view added_token) const {
  const auto it = std::find_if(added_tokens_.begin(), added_tokens_.end(),
                               [&](const AddedToken& token) { return token.content == added_token; });
  if (it == added_tokens_.end()) return std::nullopt;
  return it->id;
}

}  // namespace fourstep
