// On a GPU whose memory is full, requests that need some of it are refused in words, and plain ones go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cuda/cuda_backend.h"
#include "cuda/device.h"

namespace fourstep {
namespace {

constexpr int32_t kVocab = 1 << 22;

// Whether somebody else seems to work on the GPU, who would fail where this test takes all memory: more is in
// use than this process needs to begin.
bool IsShared() {
  constexpr size_t kOwnBytes = size_t{2} << 30;
  size_t free_bytes = 0, all_bytes = 0;
  FOURSTEP_CUDA(cudaMemGetInfo(&free_bytes, &all_bytes));
  return all_bytes - free_bytes > kOwnBytes;
}

// All that is free, but for pieces below 1 MiB.
std::vector<cuda::DeviceArray<uint8_t>> TakeFreeMemory() {
  std::vector<cuda::DeviceArray<uint8_t>> taken;
  for (size_t bytes = size_t{1} << 37; bytes >= size_t{1} << 20;) {
    try {
      taken.emplace_back(bytes, "test");
    } catch (const Error&) {
      bytes /= 2;
    }
  }
  return taken;
}

SamplingRequest Penalised() {
  SamplingRequest request;
  request.params.frequency_penalty = 1;
  return request;
}

// Of the largest table that a pattern may have.
SamplingRequest Patterned() {
  SamplingRequest request;
  request.automaton =
      std::make_shared<const TokenAutomaton>(TokenAutomaton{.num_states = 1 << 12,
                                                            .num_classes = 1 << 12,
                                                            .token_class = std::vector<uint16_t>(1000),
                                                            .next_state = std::vector<int32_t>(1 << 24)});
  return request;
}

TEST(SlotMemory, WhatHasNoneIsRefusedAndPlainAnswersGoOn) {
  if (CountCudaDevices() == 0) GTEST_SKIP() << "there is no GPU";
  if (IsShared()) GTEST_SKIP() << "others use the GPU's memory";
  const std::unique_ptr<Backend> backend = MakeCudaBackend({.max_rows = 4});
  backend->SetBoundaryTokens({}, {}, kVocab);
  const auto expect_refused = [&](const SamplingRequest& request, const char* message) {
    try {
      backend->SetSlot(0, request, {});
      ADD_FAILURE() << "not refused: " << message;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith(message));
      EXPECT_THAT(error.what(), testing::HasSubstr("more than is free"));
    }
    backend->SetSlot(0, {}, {});
  };
  backend->SetSlot(0, {}, {});
  {
    const auto taken = TakeFreeMemory();
    expect_refused(Penalised(), "penalties and logit bias: needs 16 MiB");
    expect_refused(Patterned(), "pattern: needs 64 MiB");
    expect_refused(Penalised(), "penalties and logit bias: needs 16 MiB");
  }
  backend->SetSlot(0, Patterned(), {});
  backend->SetSlot(0, Penalised(), {});
}

}  // namespace
}  // namespace fourstep
