#include "eval/chat_completion.h"

#include <limits>

#include "base/error.h"

namespace fourstep {
namespace {

constexpr uint64_t kSeedMask = 0x7fffffff;

}  // namespace

Json ChatCompletionRequest(const std::string& model, const Question& question) {
  const Sampling& sampling = question.sampling;
  const bool is_greedy = sampling.policy == "greedy";
  Json body = {{"model", model},
               {"messages", Json::array({{{"role", "user"}, {"content", question.text}}})},
               {"max_tokens", question.max_tokens},
               {"temperature", is_greedy ? 0.0 : sampling.temperature.value_or(1.0)},
               {"top_p", sampling.top_p.value_or(1.0)},
               {"seed", sampling.seed & kSeedMask},
               {"stream", false}};
  if (sampling.top_k) body["top_k"] = *sampling.top_k;
  if (sampling.min_p) body["min_p"] = *sampling.min_p;
  return body;
}

SourcedAnswer ParseChatCompletion(std::string_view body, const std::string& where) {
  const Json json = ParseJson(body, where);
  const JsonReader reader(json, where);
  const Json& choices = reader.Get("choices");
  if (!choices.is_array() || choices.empty()) throw Error(where, "\"choices\" is no array of one or more");
  const JsonReader choice(choices[0], where + ": choices[0]");
  const JsonReader message(choice.Get("message"), where + ": message");
  SourcedAnswer answer;
  const std::string reasoning =
      message.StringOr("reasoning_content", message.Has("reasoning") ? message.String("reasoning") : "");
  if (!reasoning.empty()) answer.response = "<think>\n" + reasoning + "\n</think>\n\n";
  answer.response += message.StringOr("content", "");
  answer.finish =
      choice.StringOr("finish_reason", "stop") == "length" ? FinishReason::kLength : FinishReason::kStop;
  if (reader.Has("usage")) {
    const JsonReader usage(reader.Get("usage"), where + ": usage");
    answer.num_tokens =
        static_cast<int32_t>(usage.IntOr("completion_tokens", 0, 0, std::numeric_limits<int32_t>::max()));
  }
  return answer;
}

std::string RefusalText(std::string_view body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error")) {
    const Json& error = json["error"];
    if (error.is_string()) return Printable(error.get<std::string>(), 200);
    if (error.is_object() && error.contains("message") && error["message"].is_string()) {
      return Printable(error["message"].get<std::string>(), 200);
    }
  }
  return Printable(body, 200);
}

}  // namespace fourstep
