// Texts that `fourstep eval` reads: arms from the command line, responses of servers. What is refused is an
// Error.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "eval/arm_setting.h"
#include "eval/chat_completion.h"

namespace {

void ReadArmSetting(const std::string& text) {
  const fourstep::ArmSetting arm = fourstep::ParseArm(text);
  FOURSTEP_CHECK(!arm.name.empty() && arm.name.size() <= fourstep::kMaxArmNameBytes);
  FOURSTEP_CHECK(arm.sampling.seed == 0);
}

void ReadResponse(const std::string& text) {
  FOURSTEP_CHECK(fourstep::RefusalText(text).find('\n') == std::string::npos);
  const fourstep::SourcedAnswer answer = fourstep::ParseChatCompletion(text, "response");
  FOURSTEP_CHECK(answer.num_tokens >= 0);
  FOURSTEP_CHECK(fourstep::ReplaceInvalidUtf8(answer.response) == answer.response);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (void (*read)(const std::string&) : {ReadArmSetting, ReadResponse}) {
    try {
      read(text);
    } catch (const fourstep::Error&) {
    }
  }
  return 0;
}
