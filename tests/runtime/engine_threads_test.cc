// Submit, Cancel, idle and load from other threads while one thread steps.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "base/philox.h"
#include "engine_driver.h"

namespace fourstep {
namespace {

TEST(EngineThreads, SubmitAndCancelDuringSteps) {
  constexpr int kThreads = 3, kRequestsEach = 20, kKinds = 5;
  // One thread in the backend: its own have a test of their own.
  const EngineOptions options{
      .model = TinyModel("tiny-qwen3-nvfp4"), .num_threads = 1, .max_sequences = 4, .cache_tokens = 192};
  const auto request_of = [](int kind) {
    return Request{.prompt = "Please add one and two and then " + std::to_string(kind * 111),
                   .sampling = {.seed = static_cast<uint64_t>(kind)},
                   .max_tokens = 10 + 5 * kind};
  };
  std::vector<std::vector<Event>> alone;
  for (int kind = 0; kind < kKinds; ++kind) {
    Engine engine(options);
    alone.push_back(RunOne(engine, request_of(kind)));
  }

  Engine engine(options);
  std::mutex mutex;
  std::map<RequestId, int> submitted;  // to the kind
  std::atomic<int> num_submitting = kThreads;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      PhiloxStream random(static_cast<uint64_t>(t));
      for (int i = 0; i < kRequestsEach; ++i) {
        const int kind = static_cast<int>(random.Below(kKinds));
        const RequestId id = engine.Submit(request_of(kind));
        {
          const std::lock_guard lock(mutex);
          submitted[id] = kind;
        }
        EXPECT_FALSE(engine.PromptTokens(request_of(kind)).empty());
        EXPECT_GE(engine.load().waiting, 0);
        if (random.Chance(0.3)) engine.Cancel(id);
        if (random.Chance(0.1)) {
          EXPECT_THROW(engine.Submit({}), std::exception);
        }
        std::this_thread::sleep_for(std::chrono::microseconds(random.Below(2000)));
      }
      --num_submitting;
    });
  }
  EventLog log;
  while (num_submitting > 0 || !engine.idle()) log.Add(engine.Step());
  for (std::thread& thread : threads) thread.join();

  ASSERT_EQ(submitted.size(), static_cast<size_t>(kThreads * kRequestsEach));
  ASSERT_EQ(log.size(), submitted.size());
  for (const auto& [id, kind] : submitted) {
    EXPECT_TRUE(log.IsFinished(id));
    ExpectSameAnswer(alone[static_cast<size_t>(kind)], log.Of(id));
  }
  EXPECT_EQ(engine.load().cache_tokens_used, 0);
}

}  // namespace
}  // namespace fourstep
