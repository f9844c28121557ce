// In builds without libcurl: Debian's needs libraries that have no static form.
#include "base/error.h"
#include "eval/endpoint_answers.h"

namespace fourstep {

std::unique_ptr<AnswerSource> MakeEndpointAnswers(const EndpointOptions&) {
  throw Error("--endpoint", "this build has no HTTP client; one that is not static has");
}

}  // namespace fourstep
