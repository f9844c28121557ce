#include "runtime/answer.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace fourstep {

ControlTokens ControlTokens::Find(const Tokenizer& tokenizer, const ChatTemplate* chat_template,
                                  std::span<const int32_t> eos_ids) {
  ControlTokens control;
  control.stop.assign(eos_ids.begin(), eos_ids.end());
  if (chat_template != nullptr) {
    const auto end_of_turn = tokenizer.IdOf(chat_template->end_of_turn());
    if (end_of_turn) control.stop.push_back(*end_of_turn);
  }
  control.think_open = tokenizer.IdOf("<think>");
  control.think_close = tokenizer.IdOf("</think>");
  if (!control.think_open || !control.think_close) control.think_open = control.think_close = std::nullopt;
  return control;
}

Event Answer::Take(const DrawResult& record) {
  Event event{.request = request_,
              .token = record.token,
              .position = record.output_position,
              .step = record.step,
              .entropy = record.entropy,
              .step_entropy = record.step_entropy,
              .mean_entropy = record.mean_entropy,
              .threshold = record.threshold,
              .temperature = record.temperature,
              .logprob = record.logprob};
  if (record.token < 0) {
    event.position = -1;
    event.finish = FinishReason::kError;
    event.error =
        limits_.may_forbid_all
            ? "no token may follow: logit bias and pattern forbid all, or the logits are not finite numbers"
            : "the model's logits are not finite numbers: its weights or scales are damaged";
    event.text = decoder_.Finish();
    return event;
  }
  for (const TokenLogprob& top : record.top)
    event.top_logprobs.push_back(
        {top.token, top.logprob, ReplaceInvalidUtf8(tokenizer_.TokenBytes(top.token))});
  if (record.token == control_.think_open) in_thinking_ = true;
  event.is_reasoning = in_thinking_;
  if (record.token == control_.think_close) in_thinking_ = false;

  const bool is_stop = !limits_.ignore_eos && std::find(control_.stop.begin(), control_.stop.end(),
                                                        record.token) != control_.stop.end();
  if (is_stop) {
    event.finish = FinishReason::kStop;
  } else {
    event.text = decoder_.Append(record.token);
    if (record.output_position + 1 == limits_.max_tokens) event.finish = FinishReason::kLength;
  }
  if (event.finish != FinishReason::kNone) event.text += decoder_.Finish();
  return event;
}

Event Answer::End(FinishReason reason, std::string error) {
  return {.request = request_,
          .text = decoder_.Finish(),
          .is_reasoning = in_thinking_,
          .finish = reason,
          .error = std::move(error)};
}

}  // namespace fourstep
