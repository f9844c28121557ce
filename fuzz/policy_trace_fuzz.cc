// Lines of `fourstep policy replay`: any bytes give an answer of the right length or one Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "sampling/policy_trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  try {
    const fourstep::PolicyTrace trace =
        fourstep::ParsePolicyTrace({reinterpret_cast<const char*>(data), size_bytes}, "line 1");
    const fourstep::Json out = fourstep::ReplayPolicyTrace(trace, true);
    FOURSTEP_CHECK(out["temperatures"].size() == trace.entropies.size());
    FOURSTEP_CHECK(out["thresholds"].size() == trace.entropies.size());
  } catch (const fourstep::Error& error) {
    FOURSTEP_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
