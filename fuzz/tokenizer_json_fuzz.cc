// tokenizer.json: what is not refused must encode and decode without fault.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "checkpoint/stream_decoder.h"
#include "checkpoint/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  const std::string_view input(reinterpret_cast<const char*>(data), size_bytes);
  try {
    const fourstep::Tokenizer tokenizer = fourstep::Tokenizer::Parse(input, "input");
    // The file itself serves as the text: it has all the tokens in it, and whatever bytes were put there.
    const auto ids = tokenizer.Encode(input.substr(0, 4096), {.add_special_tokens = true});
    fourstep::StreamDecoder decoder(tokenizer);
    std::string streamed;
    for (const int32_t id : ids) streamed += decoder.Append(id);
    streamed += decoder.Finish();
    if (streamed != tokenizer.Decode(ids)) std::abort();
  } catch (const fourstep::Error&) {
  }
  return 0;
}
