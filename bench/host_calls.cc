// What the host asks of the CUDA driver between one launch of a step's graph and the next. A library that the
// driver loads into any program, by CUPTI (https://docs.nvidia.com/cupti, callback API); needs libcupti:
//
//   CUDA_INJECTION64_PATH=build/gpu/bench/libhost_calls.so fourstep bench decode --shape qwen3-8b --backend
//   cuda
//
// At the end it prints, for every kind of gap between two launches, how many there were and which calls of
// the driver stood in it. A step that waits for nobody has none.
#include <cupti.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

namespace {

using Calls = std::map<std::string, int64_t>;  // by name

struct Gaps {
  std::mutex mutex;
  int64_t launches = 0;
  Calls open;                       // since the last launch
  std::map<Calls, int64_t> closed;  // what stood between two launches, and how often
};
Gaps& TheGaps() {
  static auto* const gaps = new Gaps;  // outlives all exit handlers
  return *gaps;
}

void Print() {
  Gaps& gaps = TheGaps();
  const std::lock_guard lock(gaps.mutex);
  std::fprintf(stderr, "%lld launches of graphs; between one and the next:\n",
               static_cast<long long>(gaps.launches));
  for (const auto& [calls, count] : gaps.closed) {
    std::fprintf(stderr, "%8lld times", static_cast<long long>(count));
    if (calls.empty()) std::fprintf(stderr, " nothing");
    for (const auto& [name, times] : calls)
      std::fprintf(stderr, "  %s x %lld", name.c_str(), static_cast<long long>(times));
    std::fprintf(stderr, "\n");
  }
}

void CUPTIAPI OnCall(void*, CUpti_CallbackDomain, CUpti_CallbackId, const void* data) {
  const auto& call = *static_cast<const CUpti_CallbackData*>(data);
  if (call.callbackSite != CUPTI_API_ENTER) return;
  const std::string name = call.functionName;
  Gaps& gaps = TheGaps();
  const std::lock_guard lock(gaps.mutex);
  if (name.rfind("cuGraphLaunch", 0) == 0) {
    if (gaps.launches++ > 0) ++gaps.closed[gaps.open];
    gaps.open.clear();
  } else {
    ++gaps.open[name];
  }
}

void Require(CUptiResult result, const char* call) {
  if (result == CUPTI_SUCCESS) return;
  const char* text = "";
  (void)cuptiGetResultString(result, &text);
  std::fprintf(stderr, "%s: %s\n", call, text);
  std::exit(1);
}

}  // namespace

// The driver calls it when the program first uses CUDA.
extern "C" int InitializeInjection() {
  static CUpti_SubscriberHandle subscriber;
  Require(cuptiSubscribe(&subscriber, OnCall, nullptr), "cuptiSubscribe");
  Require(cuptiEnableDomain(1, subscriber, CUPTI_CB_DOMAIN_DRIVER_API), "cuptiEnableDomain");
  std::atexit(Print);
  return 1;
}
