#include "checkpoint/added_tokens.h"

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"

namespace fourstep {
namespace {

// Unicode's White_Space property.
bool IsWhiteSpace(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

size_t WhiteSpaceAtStart(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    const CodePoint c = DecodeUtf8(text.substr(pos));
    if (!IsWhiteSpace(c.value)) break;
    pos += c.length_bytes;
  }
  return pos;
}

size_t WhiteSpaceAtEnd(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!IsWhiteSpace(DecodeUtf8(text.substr(begin, end - begin)).value)) break;
    end = begin;
  }
  return text.size() - end;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), token_at_{-1} {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    FOURSTEP_CHECK(!content.empty());
    first_bytes_.set(static_cast<unsigned char>(content[0]));
    uint32_t node = 0;
    for (const char c : content) {
      const uint64_t edge = uint64_t{node} << 8 | static_cast<unsigned char>(c);
      const auto [it, inserted] = edges_.try_emplace(edge, static_cast<uint32_t>(token_at_.size()));
      if (inserted) token_at_.push_back(-1);
      node = it->second;
    }
    token_at_[node] = static_cast<int32_t>(i);
  }
}

AddedTokenMatcher::Match AddedTokenMatcher::LongestAt(std::string_view text) const {
  Match match{0, nullptr};
  uint32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto it = edges_.find(uint64_t{node} << 8 | static_cast<unsigned char>(text[i]));
    if (it == edges_.end()) break;
    node = it->second;
    if (token_at_[node] >= 0) match = {i + 1, &tokens_[static_cast<size_t>(token_at_[node])]};
  }
  return match;
}

void AddedTokenMatcher::Split(std::string_view text, bool parse_special, std::vector<TextPart>& parts) const {
  size_t done = 0;  // all before it is in `parts`
  size_t pos = 0;
  while (pos < text.size()) {
    if (!first_bytes_.test(static_cast<unsigned char>(text[pos]))) {
      ++pos;
      continue;
    }
    const Match match = LongestAt(text.substr(pos));
    if (match.token == nullptr) {
      ++pos;
      continue;
    }
    size_t begin = pos, end = pos + match.length_bytes;
    pos = end;
    if (match.token->special && !parse_special) continue;
    // Space that the token before took along is not taken again; a token may lie in such space all the same.
    if (match.token->lstrip) begin = std::max(begin - WhiteSpaceAtEnd(text.substr(0, begin)), done);
    if (match.token->rstrip) end += WhiteSpaceAtStart(text.substr(end));
    if (begin > done) parts.push_back({text.substr(done, begin - done), -1});
    parts.push_back({text.substr(begin, end - begin), match.token->id});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), -1});
}

}  // namespace fourstep
