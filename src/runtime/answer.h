// Answer: turns the records of one request's tokens into its events, and knows when it ends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/token_record.h"
#include "checkpoint/chat_template.h"
#include "checkpoint/stream_decoder.h"
#include "checkpoint/tokenizer.h"
#include "fourstep/engine.h"

namespace fourstep {

// Which tokens mean something beyond their text.
struct ControlTokens {
  std::vector<int32_t> stop;  // end an answer
  // The tags of the thinking part; both or neither. A tokenizer that writes them with several tokens has no
  // thinking part that could be told apart.
  std::optional<int32_t> think_open, think_close;

  static ControlTokens Find(const Tokenizer& tokenizer, const ChatTemplate* chat_template,
                            std::span<const int32_t> eos_ids);
};

class Answer {
 public:
  struct Limits {
    int32_t max_tokens = 0;  // >= 1
    bool ignore_eos = false;
    bool may_forbid_all = false;  // biases or a pattern choose what may follow
  };

  // `tokenizer` and `control` must outlive the answer. `in_thinking`: the prompt opened the thinking part.
  Answer(RequestId request, const Tokenizer& tokenizer, const ControlTokens& control, bool in_thinking,
         const Limits& limits)
      : request_(request),
        tokenizer_(tokenizer),
        control_(control),
        limits_(limits),
        in_thinking_(in_thinking && control.think_close.has_value()),
        decoder_(tokenizer, /*skip_special=*/true) {}

  // The next token of the answer; nothing may follow an event that has a finish reason.
  Event Take(const DrawResult& record);

  // The answer ends without another token; `error` where the reason is kError.
  Event End(FinishReason reason, std::string error = {});

 private:
  RequestId request_;
  const Tokenizer& tokenizer_;
  const ControlTokens& control_;
  Limits limits_;
  bool in_thinking_;
  StreamDecoder decoder_;
};

}  // namespace fourstep
