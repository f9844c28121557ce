// The chat completions of OpenAI's HTTP interface, as other servers speak it too: what is asked and what
// comes back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "eval/answer_source.h"

namespace fourstep {

// The body of POST /chat/completions. Temperature and top-p stand in it as numbers; top_k and min_p, which
// not every server knows, only where they are given; the seed keeps 31 bits, as many as every server takes.
Json ChatCompletionRequest(const std::string& model, const Question& question);

// The answer in such a response, without a ticket: what a server parted as reasoning stands between <think>
// and
// </think> again. Throws Error (naming `where`) for anything else.
SourcedAnswer ParseChatCompletion(std::string_view body, const std::string& where);

// What a server says about its refusal: its "error" message, or the beginning of the body. One line.
std::string RefusalText(std::string_view body);

}  // namespace fourstep
