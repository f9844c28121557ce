#include "checkpoint/stream_decoder.h"

#include <utility>

#include "base/utf8.h"

namespace fourstep {

std::string StreamDecoder::Append(int32_t id) {
  if (skip_special_ && tokenizer_.IsSpecial(id)) return {};
  std::string bytes = std::exchange(held_, {});
  bytes += tokenizer_.TokenBytes(id);
  const size_t num_held = IncompleteUtf8Suffix(bytes);
  held_ = bytes.substr(bytes.size() - num_held);
  bytes.resize(bytes.size() - num_held);
  return ReplaceInvalidUtf8(bytes);
}

std::string StreamDecoder::Finish() {
  return ReplaceInvalidUtf8(std::exchange(held_, {}));
}

}  // namespace fourstep
