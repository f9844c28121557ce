// Answers of a server that speaks OpenAI's chat completions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "eval/answer_source.h"

namespace fourstep {

struct EndpointOptions {
  std::string url;           // "http://localhost:8000/v1": before "/chat/completions"
  std::string model;         // as the server calls it
  std::string api_key = {};  // sent as a bearer token, if there is one
  int32_t parallel = 8;      // requests at a time
  double first_pause_s = 1;  // before a request is sent again after a failure; doubles up to five times
};

// Throws Error where the URL is none of HTTP, or where this build has no HTTP client. A request that fails in
// a way that may pass (no connection, status 429 or 5xx) is sent again; when patience ends, Wait throws
// std::runtime_error. A refusal (another status) and a response of another form throw Error.
std::unique_ptr<AnswerSource> MakeEndpointAnswers(const EndpointOptions& options);

}  // namespace fourstep
